"""The engine's config text: any value stays a value, and the real engine accepts it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memphis.wire import legacy
from memphis_broker.config import Durability
from memphis_broker.engine.accounts import EngineSecrets
from memphis_broker.engine.config_text import (
    EmbeddedEngineConfig,
    accounts_text,
    embedded_config_text,
    quoted,
)
from memphis_broker.engine.process import find_binary

# The engine refuses text that is not UTF-8, which lone surrogates cannot be.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
SECRETS = EngineSecrets.generate()


def config(
    host: str = "127.0.0.1",
    store_dir: str = "/store",
    max_memory: int | None = None,
    durability: Durability = Durability.STANDARD,
) -> EmbeddedEngineConfig:
    return EmbeddedEngineConfig(
        host=host,
        port=0,
        server_name="memphis",
        store_dir=Path(store_dir),
        log_file=Path("/log"),
        ports_file_dir=Path("/ports"),
        debug=False,
        durability=durability,
        max_disk=2**30,
        max_memory=max_memory,
        max_message_size=8 * 2**20,
    )


def accepted(text: str, tmp_path: Path) -> bool:
    file = tmp_path / "server.conf"
    file.write_text(text, encoding="utf-8")
    command = [find_binary(None), "-t", "-c", file]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(host=TEXT, password=TEXT, store_dir=TEXT)
def test_any_string_is_accepted(tmp_path: Path, host: str, password: str, store_dir: str) -> None:
    """Whatever host, password and path are, the engine can read its config."""
    secrets = EngineSecrets(
        clients_password=password,
        broker_password=password,
        system_password=password,
        issuer_seed=SECRETS.issuer_seed,
    )
    assert accepted(embedded_config_text(config(host, f"/{store_dir}"), secrets), tmp_path)


@given(st.text())
def test_no_string_leaves_its_quotes(text: str) -> None:
    """Inside the quotes there is no quote, backslash escape or control character of the value."""
    inside = quoted(text)[1:-1]
    assert '"' not in inside
    assert not any(ord(character) < 32 for character in inside)
    assert inside.count("\\") == inside.count("\\x")


@pytest.mark.parametrize("durability", list(Durability))
@pytest.mark.parametrize("max_memory", [None, 2**20])
def test_every_choice_is_accepted(
    tmp_path: Path, durability: Durability, max_memory: int | None
) -> None:
    """Each durability, with and without a memory cap, makes a valid config."""
    text = embedded_config_text(config(durability=durability, max_memory=max_memory), SECRETS)
    assert accepted(text, tmp_path)
    assert ('sync_interval: "always"' in text) is (durability is Durability.ALWAYS)


@pytest.mark.parametrize("original_sdks", [True, False])
def test_the_accounts_alone_are_a_valid_part(tmp_path: Path, original_sdks: bool) -> None:
    """What is printed for an attached engine fits into a config; SDKs of the original only if wanted."""
    part = accounts_text(SECRETS, original_sdks=original_sdks)
    assert accepted('jetstream { store_dir: "/store" }\n' + part, tmp_path)
    assert (legacy.STATION_CREATIONS in part) is original_sdks
    assert (legacy.PRODUCED_ALL in part) is original_sdks


def test_secrets_survive_their_file(tmp_path: Path) -> None:
    """Written and read secrets are equal, private, and not shown."""
    file = tmp_path / "secrets.toml"
    SECRETS.write(file)
    assert EngineSecrets.read(file) == SECRETS
    assert file.stat().st_mode & 0o077 == 0
    assert SECRETS.issuer_seed not in repr(SECRETS)
    assert SECRETS.issuer_public_key.startswith("A")


def test_secrets_differ_every_time() -> None:
    """No two engines share a password or key."""
    assert EngineSecrets.generate() != SECRETS
