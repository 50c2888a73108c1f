"""The Python of the page about the synchronous face runs as it stands there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from memphis.sync import Memphis
from memphis_broker.testing import BrokerProcess
from tests.docs import blocks
from tests.waiting import eventually_sync

PAGE = "docs/guide/sync.md"
SCRIPT, MANY, HANDLER, ITERATE = blocks.blocks_of(PAGE)


def run(block: str, names: dict[str, object]) -> None:
    """Run a block, which awaits nothing."""
    exec(compile(block, PAGE, "exec"), names)


def test_the_page_runs(broker_factory: Callable[..., BrokerProcess], capsys):
    """The script prints what it stored and read; ten thousand are stored, handled and iterated."""
    broker = broker_factory().start()
    run(SCRIPT.replace('host="localhost"', f'host="localhost:{broker.port}"'), {})
    assert capsys.readouterr().out == '1\n{"carrier":"UA","flight":1545}\n'
    assert threading.active_count() == 1 or not [
        thread for thread in threading.enumerate() if thread.name.startswith("memphis")
    ]
    with Memphis() as memphis:
        memphis.connect(host=broker.host, port=broker.port, username="root", password="memphis")
        station = memphis.existing_station("flights")
        names: dict[str, object] = {
            "producer": memphis.producer("flights", "radar"),
            "consumer": memphis.consumer("flights", "board-2", "other", batch_size=5000),
        }
        run(MANY, names)
        assert station.info().messages == 10_001

        def pending() -> dict[str, int]:
            return {group.name: group.pending for group in station.info().groups}

        run(HANDLER, names)
        eventually_sync(lambda: pending()["other"] == 0)
        names["consumer"].stop()  # type: ignore[attr-defined]
        names["consumer"] = iterated = memphis.consumer(
            "flights", "board-3", "third", last_messages=3
        )
        with ThreadPoolExecutor(1) as pool:
            iterating = pool.submit(run, ITERATE, names)
            eventually_sync(lambda: pending()["third"] == 0)
            iterated.stop()
            iterating.result()
