"""The measurements of growth, memory and the control plane, on the smallest scale that shows all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from benchmarks.control_plane import Figure, print_figures
from benchmarks.growth import BYTES_MAX, MESSAGES, questions, summarize
from benchmarks.growth_work import Point, fetch, produce
from memphis import Memphis
from memphis_broker.testing import BrokerProcess
from tests.integration.bench.helpers import run_program

FEW: Final = ("--rounds", "1", "--scale", "0.0005", "--points", "2")
DRAWN: Final = ("sizes", "stations", "depth")
"""One question for each kind of picture."""


def run(
    program: str, out: Path, *arguments: str, instead_of: Path | None = None
) -> tuple[str, dict[str, Any]]:
    """What a measurement prints, and the one JSON file that it leaves if it leaves one.

    Modules in the folder ``instead_of`` hide those that are installed.
    """
    hidden = {"PYTHONPATH": str(instead_of)} if instead_of else {}
    output = run_program(program, "--out", out, *arguments, **hidden)
    files = list(out.glob("*.json"))
    return output, json.loads(files[0].read_text()) if len(files) == 1 else {}


def test_every_question_has_its_points() -> None:
    """The points are those that were asked for, and no payload is moved in excess."""
    asked = questions(1.0)
    assert [point.partitions for point in asked["partitions"].points] == [1, 4, 16]
    assert [point.producers for point in asked["producers"].points] == [1, 4, 16]
    assert [point.stations for point in asked["stations"].points] == [1, 10, 100, 1000]
    assert asked["depth"].points[-1].x == 5_000_000
    sizes = {point.size: point.messages for point in asked["sizes"].points}
    assert list(sizes) == [64, 256, 1024, 4096, 16384, 65536, 262144, 1047552]
    assert sizes[256] == MESSAGES
    assert all(size * messages <= BYTES_MAX for size, messages in sizes.items())


def test_the_median_of_the_rounds_counts() -> None:
    """One slow round changes the spread, not the figure."""
    rounds = [{"x": 1, "work": "fetch", "round": n, "rate": r} for n, r in enumerate((9, 1, 8))]
    assert summarize(rounds) == [{"x": 1, "fetch": {"rate": 8, "rate_min": 1, "rate_max": 9}}]


async def test_a_point_is_measured_with_its_partitions_and_producers(broker: BrokerProcess) -> None:
    """All messages of all producers are counted, and all are fetched from all partitions."""
    point = Point(4, messages=200, partitions=16, producers=4)
    async with Memphis() as memphis:
        await memphis.connect("127.0.0.1", "root", password="memphis", port=broker.port)
        produced = await produce(memphis, "growth-point", point)
        station = await memphis.existing_station("growth-point")
        info = await station.info()
        fetched = await fetch(memphis, "growth-point", point)
        await station.destroy()
    assert len(info.partitions) == 16
    assert produced["messages"] == fetched["messages"] == info.messages == 200


class Grown(NamedTuple):
    """What a measurement of growth left."""

    folder: Path
    output: str


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    """One short round of some questions."""
    folder = tmp_path_factory.mktemp("growth")
    output, _ = run("growth", folder, *FEW, "--only", *DRAWN)
    return Grown(folder, output)


@pytest.mark.parametrize("name", DRAWN)
def test_growth_measures_each_point(grown: Grown, name: str) -> None:
    """Each point has its messages, all of which were fetched."""
    question = questions(0.0005, 2)[name]
    (file,) = grown.folder.glob(f"growth-{name}-*.json")
    found = json.loads(file.read_text())
    assert len(found["points"]) == len(question.points) == 2
    assert len(found["rounds"]) == 2 * (1 if name == "stations" else 2)
    for asked, point in zip(question.points, found["points"], strict=True):
        check_point(asked, point, asked.x if name == "depth" else asked.messages)
    assert question.title in grown.output


@pytest.mark.parametrize("name", DRAWN)
def test_each_question_has_a_picture(grown: Grown, name: str) -> None:
    """Where matplotlib is installed, there is one beside the figures."""
    pytest.importorskip("matplotlib", reason="pictures need it; it is in the group 'bench'")
    (file,) = grown.folder.glob(f"growth-{name}-*.svg")
    assert "</svg>" in file.read_text()
    assert file.with_suffix(".json").exists()


def test_figures_are_kept_where_nothing_can_be_drawn(tmp_path: Path) -> None:
    """Without matplotlib, one line says what to install, and the figures are there."""
    hiding, out = tmp_path / "hiding", tmp_path / "out"
    hiding.mkdir()
    text = "raise ModuleNotFoundError('hidden', name='matplotlib')\n"
    (hiding / "matplotlib.py").write_text(text)
    output, found = run("growth", out, *FEW, "--only", "partitions", instead_of=hiding)
    assert [point["x"] for point in found["points"]] == [1, 16]
    assert not list(out.glob("*.svg"))
    assert len([line for line in output.splitlines() if "pip install matplotlib" in line]) == 1


def check_point(asked: Point, point: dict[str, Any], stored: int) -> None:
    """The point has what was asked for."""
    assert point["x"] == asked.x
    if asked.stations:
        assert point["manage"]["stations"] == asked.stations
        assert point["manage"]["created"] == asked.stations - asked.stations_before
        return
    for work in ("produce", "fetch"):
        assert point[work]["messages"] == asked.messages
        assert point[work]["station_messages"] == stored
        assert point[work]["memory_mib"] > 0


def test_control_plane_prints_what_is_wanted(tmp_path: Path) -> None:
    """Every figure is there, in print and in JSON, and idle was idle for both processes."""
    few = ("--stations", "6", "--logins", "2", "--starts", "1", "--idle-seconds", "0.2")
    output, found = run("control_plane", tmp_path, *few)
    figures = {figure["what"]: figure for figure in found["figures"]}
    assert figures["stations() over 6"]["wanted"] == 1
    assert figures["stations created in turn (3)"]["at_least"]
    assert figures["login without that check"]["measured"] > 0
    assert figures["broker start, median of 1: processor time"]["measured"] > 0
    for name in ("broker", "engine"):
        assert figures[f"new, idle: {name}'s resident memory"]["measured"] > 0
        assert figures[f"6 stations, idle: {name}'s proportional memory"]["measured"] > 0
    assert len([line for line in output.splitlines() if line.count("|") == 2]) == len(figures)


def test_a_missed_figure_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """What is not as wanted is marked, in whichever direction it was wanted."""
    print_figures([Figure("slow", 2, "s", 1), Figure("few", 1, "a second", 2, at_least=True)])
    print_figures([Figure("quick", 1, "s", 1), Figure("many", 2, "a second", 2, at_least=True)])
    print_figures([Figure("some", 1, "s")])
    marked = ["MISSED" in line for line in capsys.readouterr().out.splitlines()]
    assert marked == [True, True, False, False, False]


def test_memory_counts_every_message(tmp_path: Path) -> None:
    """With an engine that is stopped meanwhile nothing is lost or repeated; all have five fifths."""
    few = ["--messages", "5000", "--stop-seconds", "0.5"]
    _, found = run("memory", tmp_path, *few, "--only", "stopped")
    outcome = found["runs"]["stopped"]
    assert outcome["stopped_seconds"] == 0.5
    assert outcome["confirmed"] == outcome["received"] == 5000
    assert outcome["lost"] == outcome["repeated"] == 0
    assert set(outcome["processes"]) == {"producer", "consumer", "broker", "engine"}
    for track in outcome["processes"].values():
        assert [fifth["messages"] for fifth in track["fifths"]] == [1000, 2000, 3000, 4000, 5000]
        assert all(fifth["peak_mib"] > 0 for fifth in track["fifths"])
