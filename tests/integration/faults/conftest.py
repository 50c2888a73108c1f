"""What the tests of faults share: a broker whose engine may stand still, and bad wires."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from memphis import Memphis
from memphis_broker.testing import BrokerProcess
from tests.fixtures.engine import Engine
from tests.fixtures.faults import FaultyProxy
from tests.fixtures.sdk import connect


@contextlib.asynccontextmanager
async def _running(proxy: FaultyProxy) -> AsyncIterator[FaultyProxy]:
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker for the tests of one file, whose engine they may stop and must set going again."""
    with BrokerProcess(tmp_path_factory.mktemp("faults")) as process:
        yield process


@pytest.fixture
async def client(own_broker: BrokerProcess) -> AsyncIterator[Memphis]:
    """A connection to the broker of this file."""
    async with await connect(own_broker) as connection:
        yield connection


@pytest.fixture
async def broker_wire(broker: BrokerProcess) -> AsyncIterator[FaultyProxy]:
    """A bad wire to the shared broker, which knows frames."""
    async with _running(FaultyProxy((broker.host, broker.port), by_frame=True)) as proxy:
        yield proxy


@pytest.fixture
async def engine_wire(shared_engine: Engine) -> AsyncIterator[FaultyProxy]:
    """A bad wire to the shared engine."""
    async with _running(FaultyProxy(shared_engine.address)) as proxy:
        yield proxy
