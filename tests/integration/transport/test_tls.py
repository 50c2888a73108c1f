"""TLS: certificates of a throw-away authority, the right one, a wrong one, none."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from memphis.exceptions import MemphisConnectError
from memphis.transport import Connection
from tests.fixtures.engine import Engine
from tests.fixtures.transport import Connect, connect_options
from tests.waiting import eventually

StartEngine = Callable[..., Engine]
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def secure_engine(start_engine: StartEngine, authority: trustme.CA, tmp_path: Path) -> Engine:
    """An engine that insists on TLS."""
    return start_engine(f"tls {{ {certificate_files(authority, tmp_path)} }}")


def certificate_files(authority: trustme.CA, directory: Path, host: str = HOST) -> str:
    certificate = authority.issue_cert(host)
    certificate.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    certificate.private_key_pem.write_to_path(directory / "key.pem")
    return f'cert_file: "{directory / "cert.pem"}", key_file: "{directory / "key.pem"}"'


async def test_tls_connects_and_comes_back(
    secure_engine: Engine, connect: Connect, authority: trustme.CA
) -> None:
    """With the right authority and name it works, large messages and a restart included."""
    connection = await connect(secure_engine.address, tls=trusting(authority))
    received: list[bytes] = []
    connection.subscribe("secure", lambda frame: received.append(frame[5]))
    for _ in range(2):
        connection.publish(b"secure", b"x" * 500_000)
        await connection.flush(10)
        secure_engine.kill()
        await eventually(lambda: not connection.is_connected)
        secure_engine.start()
        await connection.wait_connected(10)
    assert received == [b"x" * 500_000] * 2


async def test_a_wrong_authority_is_refused(secure_engine: Engine) -> None:
    """A certificate of an authority that is not trusted: an error that says so."""
    options = connect_options(secure_engine.address, tls=trusting(trustme.CA()))
    with pytest.raises(MemphisConnectError, match=f"{secure_engine.port}.*not trusted"):
        await Connection.open(options)


async def test_a_wrong_name_is_refused(
    start_engine: StartEngine, authority: trustme.CA, tmp_path: Path
) -> None:
    """A certificate for another name than the host's is not accepted."""
    engine = start_engine(f"tls {{ {certificate_files(authority, tmp_path, 'memphis.example')} }}")
    options = connect_options(engine.address, tls=trusting(authority))
    with pytest.raises(MemphisConnectError, match="not trusted"):
        await Connection.open(options)


async def test_plain_where_tls_is_wanted(secure_engine: Engine) -> None:
    """Without TLS on this side the error says what is missing."""
    with pytest.raises(MemphisConnectError, match="wants TLS"):
        await Connection.open(connect_options(secure_engine.address))


async def test_tls_where_only_plain_is(shared_engine: Engine, authority: trustme.CA) -> None:
    """A server without TLS is not talked to in the clear when TLS was asked for."""
    with pytest.raises(MemphisConnectError, match="does not offer TLS"):
        await Connection.open(connect_options(shared_engine.address, tls=trusting(authority)))


async def test_client_certificates(
    start_engine: StartEngine, connect: Connect, authority: trustme.CA, tmp_path: Path
) -> None:
    """A server that wants a client certificate lets in who has one, and nobody else."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    files = certificate_files(authority, tmp_path)
    engine = start_engine(f'tls {{ {files}, ca_file: "{tmp_path / "ca.pem"}", verify: true }}')
    with pytest.raises(MemphisConnectError, match=str(engine.port)):
        await Connection.open(connect_options(engine.address, tls=trusting(authority)))
    context = trusting(authority)
    authority.issue_cert("client.example").configure_cert(context)
    assert (await connect(engine.address, tls=context)).is_connected
