"""The pytest plugin for tests of applications: a real broker, empty for each test.

pytest finds it by the entry point ``memphis`` and imports it in every run in an environment that has this
distribution. So it imports nothing until a fixture is asked for, and pytest is no dependency: nobody else
imports it. Under pytest-xdist each worker is a session with a broker of its own.

Invariant: the fixtures are synchronous and leave the test's event loop alone, so they work with any plugin
for asynchronous tests, and with none. No thread of theirs runs while a test runs.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest

if TYPE_CHECKING:
    from memphis.testing import RunningBroker
    from memphis_broker.testing import BrokerProcess

OPTIONS: Final = "memphis_broker_options"
_OURS: Final = frozenset(
    {"--host", "--port", "--data-dir", "--engine", "--root-password", "--root-password-file"}
)
_DEADLINE_S: Final = 60.0

T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one setting, for pytest.ini or pyproject.toml."""
    parser.addini(
        OPTIONS, "more options of `memphis serve` for the broker of the tests", "args", []
    )


@dataclass
class _Started:
    process: BrokerProcess
    broker: RunningBroker
    shared: bool = False
    """Whether there may be stations that outlive a test on purpose."""


@pytest.fixture(scope="session")
def _memphis_broker_started(pytestconfig: pytest.Config) -> Iterator[_Started]:
    """The process behind the other two."""
    options: list[str] = pytestconfig.getini(OPTIONS)
    for option in options:
        if option.partition("=")[0] in _OURS:
            pytest.fail(
                f"{OPTIONS}: {option} is the plugin's to choose; leave it out", pytrace=False
            )
    from memphis_broker.testing import BrokerProcess  # noqa: PLC0415 - see the module's docstring

    with closing(BrokerProcess(options=options, tethered=True)) as process:
        process.launch()
        # Imported while the broker starts, which takes about as long.
        from memphis.testing import RunningBroker  # noqa: PLC0415

        process.wait_until_ready()
        yield _Started(process, RunningBroker(host=process.host, port=process.port))


@pytest.fixture(scope="session")
def memphis_session_broker(_memphis_broker_started: _Started) -> RunningBroker:
    """The session's broker, a :class:`memphis.testing.RunningBroker`, for fixtures wider than a test.

    What is created with it stays until the end of the session.
    """
    _memphis_broker_started.shared = True
    return _memphis_broker_started.broker


@pytest.fixture
def memphis_broker(_memphis_broker_started: _Started) -> Iterator[RunningBroker]:
    """A broker for this test, a :class:`memphis.testing.RunningBroker`, without what earlier tests created.

    The process is one for the session and starts with the first test that asks for it; after each test all
    stations and schemas that it has created are removed.
    """
    started = _memphis_broker_started
    started.process.pid  # noqa: B018 - raises if an earlier test has ended it
    broker = started.broker
    keep = _in_a_thread(broker.contents) if started.shared else None
    yield broker
    _in_a_thread(broker.clear if keep is None else lambda: broker.clear(keep))


def _in_a_thread(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in an event loop of its own, whatever the test's thread has."""
    import asyncio  # noqa: PLC0415 - see the module's docstring
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    async def in_time() -> T:
        async with asyncio.timeout(_DEADLINE_S):
            return await make()

    with ThreadPoolExecutor(1, "memphis_broker") as threads:
        return threads.submit(lambda: asyncio.run(in_time())).result()
