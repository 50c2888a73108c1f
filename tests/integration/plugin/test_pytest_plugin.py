"""The pytest plugin, used as a stranger's project uses it: in a run of pytest of its own."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.integration.plugin.projects import WITH_ASYNCIO, Project
from tests.waiting import eventually_sync

ROOT = Path(__file__).resolve().parents[3]

# Each of these fails if it sees anything of another, in whatever order they run.
ISOLATED = """
    import asyncio
    from pathlib import Path

    import pytest
    from memphis import MemphisSchemaError

    def note(broker):
        with Path("ports").open("a") as file:
            file.write(f"{broker.port}\\n")

    @pytest.mark.parametrize("partitions", [1, 3, 2])
    def test_without_a_plugin_for_async(memphis_broker, partitions):
        note(memphis_broker)

        async def main():
            async with memphis_broker.connect() as memphis:
                assert await memphis.stations() == []
                station = await memphis.station("orders", partitions_number=partitions)
                await memphis.produce("orders", "shop", f"order {partitions}")
                assert (await station.info()).messages == 1
                assert len((await station.info()).partitions) == partitions

        asyncio.run(main())

    @pytest.mark.asyncio
    @pytest.mark.parametrize("field", ["number", "name"])
    async def test_schemas_and_dead_letters(memphis_broker, field):
        note(memphis_broker)
        async with memphis_broker.connect() as memphis:
            assert await memphis.schemas() == []
            assert await memphis.users() == []
            await memphis.create_user(field, "a password")
            content = '{"type": "object", "required": ["%s"]}' % field
            await memphis.create_schema("order", "json", content=content)
            await memphis.station("orders", schema_name="order")
            assert [letter async for letter in memphis.dead_letters()] == []
            with pytest.raises(MemphisSchemaError):
                await memphis.produce("orders", "shop", {})
            await memphis.produce("orders", "shop", {field: 1})
            consumer = await memphis.consumer("orders", "desk")
            (message,) = await consumer.fetch(1)
            await message.dead_letter("late")
            assert len([letter async for letter in memphis.dead_letters()]) == 2
"""


def test_each_test_has_an_empty_broker(project: Project):
    """One broker for the session, nothing of an earlier test in it, and nothing left at the end."""
    project.write("test_shop.py", ISOLATED)
    project.run(*WITH_ASYNCIO, passed=5)
    assert len(set(project.notes("ports"))) == 1
    assert project.processes() == []
    assert project.directories() == []


def test_each_worker_has_a_broker(project: Project):
    """Tests that run at the same time do not meet."""
    project.write("test_shop.py", ISOLATED)
    project.run(*WITH_ASYNCIO, "-p", "xdist.plugin", "-n", "2", "--dist", "each", passed=10)
    assert len(set(project.notes("ports"))) == 2
    assert project.processes() == []
    assert project.directories() == []


def test_what_a_wider_fixture_makes_stays(project: Project):
    """Only what a test itself has created is removed after it."""
    project.write(
        "test_shop.py",
        """
        import asyncio
        import pytest

        async def create(broker, name):
            async with broker.connect() as memphis:
                await memphis.create_schema(name, "json", content="{}")
                await memphis.station(name, schema_name=name)

        async def names(broker):
            async with broker.connect() as memphis:
                schemas = [schema.name for schema in await memphis.schema_summaries()]
                assert schemas == [station.name for station in await memphis.stations()]
                return schemas

        def test_before(memphis_broker):
            asyncio.run(create(memphis_broker, "before"))

        @pytest.fixture(scope="session")
        def catalogue(memphis_session_broker):
            asyncio.run(create(memphis_session_broker, "catalogue"))
            return memphis_session_broker

        @pytest.mark.parametrize("time", [1, 2])
        def test_after(catalogue, memphis_broker, time):
            assert catalogue == memphis_broker
            assert asyncio.run(names(memphis_broker)) == ["catalogue"]
            asyncio.run(create(memphis_broker, "own"))
            assert asyncio.run(names(memphis_broker)) == ["catalogue", "own"]
        """,
    )
    project.run(passed=3)


def test_a_killed_run_leaves_no_process(project: Project):
    """Neither broker nor engine outlives a pytest that had no time to end them."""
    project.write(
        "test_shop.py",
        """
        import sys
        from pathlib import Path

        def test_that_waits(memphis_broker):
            Path("ready").touch()
            sys.stdin.read()
        """,
    )
    with subprocess.Popen(
        project.command("-s"), cwd=project.path, env=project.environment,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    ) as run:  # fmt: skip
        eventually_sync((project.path / "ready").exists, 60)
        assert len(project.processes()) == 2
        assert len(project.directories()) == 1
        os.kill(run.pid, signal.SIGKILL)
    eventually_sync(lambda: project.processes() == [], 30)


def test_options_of_the_broker(project: Project):
    """The setting goes to `memphis serve`; what the plugin chooses cannot be chosen there."""
    project.write(
        "test_shop.py",
        """
        import asyncio
        import pytest
        from memphis import MemphisProduceError

        def test_large(memphis_broker):
            async def main():
                async with memphis_broker.connect() as memphis:
                    with pytest.raises(MemphisProduceError):
                        await memphis.produce("orders", "shop", bytes(20_000))

            asyncio.run(main())
        """,
    )
    project.run("-o", "memphis_broker_options=--max-message-size 16KB", passed=1)
    project.run("-o", "memphis_broker_options=--port=6666", error=1)


def test_without_the_extra(project: Project):
    """A project that has the SDK alone is told what to install."""
    missing = "raise ModuleNotFoundError('there is no such module', name='platformdirs')"
    project.write("platformdirs.py", missing)
    project.write("test_shop.py", "def test(memphis_broker): pass")
    assert "memphis-py[broker]" in project.run(error=1)


def test_who_does_not_use_it_imports_nothing():
    """The plugin is imported in every run of pytest; the SDK and the broker are not."""
    program = (
        "import sys, pytest; before = set(sys.modules); import memphis_broker.pytest_plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert printed.stdout.split() == ["memphis_broker", "memphis_broker.pytest_plugin"]


def test_the_entry_point():
    """pytest finds the plugin by what the distribution declares."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = declared["entry-points"]["pytest11"]
    plugin = importlib.import_module(named["memphis"])
    assert {"memphis_broker", "memphis_session_broker"} <= vars(plugin).keys()
    assert not [name for name in declared["dependencies"] if name.startswith("pytest")]
