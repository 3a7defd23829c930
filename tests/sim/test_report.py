"""Figures, their intervals and their targets, and what is written of them."""

import json
from io import StringIO
from math import inf, nan
from pathlib import Path
from random import Random
from time import sleep

import pytest
from rich.console import Console

from tallystick_node.sim.report import (
    Figure,
    Target,
    interval,
    over_seeds,
    ratio,
    show,
    targets_table,
    write_json,
)
from tallystick_node.sim.spread import followed, note, spread


def test_an_interval_holds_the_mean_as_often_as_it_says() -> None:
    random = Random(1)
    held = 0
    for _ in range(1_000):
        found = interval([random.gauss(10, 3) for _ in range(6)])
        held += found.low <= 10 <= found.high
    assert held / 1_000 == pytest.approx(0.95, abs=0.02)


def test_one_seed_bounds_nothing_and_one_that_never_ended_shows() -> None:
    assert interval([3.0]).high == inf
    assert interval([3.0, inf, 4.0]).mean == inf


@pytest.mark.parametrize(("value", "met"), [(0.9, True), (0.900001, False), (inf, False)])
def test_a_target_is_met_up_to_its_bound(value: float, met: bool) -> None:
    figure = Figure(name="x", value=value, unit="1", target=Target(text="≤ 0.9", most=0.9))
    assert figure.met is met


def test_what_is_written_is_json_and_says_what_was_missed(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    missed = over_seeds("slow", [1.0, 3.0], "s", Target(text="≤ 1 s", most=1))
    assert missed.as_json()["by_seed"] == [1.0, 3.0]
    write_json(path, "sim paper", {"seeds": 2}, [missed, Figure(name="lost", value=inf, unit="s")])
    read = json.loads(path.read_text())
    assert read["parameters"] == {"seeds": 2}
    slow, lost = read["figures"]
    assert slow["value"] == 2
    assert slow["met"] is False
    assert slow["low"] < 2 < slow["high"]
    assert lost["value"] is None
    assert "met" not in lost


def test_two_figures_of_one_name_are_a_bug(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        write_json(tmp_path / "f.json", "x", {}, [Figure(name="x", value=1, unit="s")] * 2)


def test_a_ratio_is_of_the_means_and_its_interval_of_pairs() -> None:
    """The mean of the ratios would be 1.75."""
    found = ratio("", [30.0, 10.0], [20.0, 5.0])
    assert found.value == 1.6
    assert ratio("", [40.0, 10.0], [20.0, 5.0]).between == "2.000 ± 0.000"


@pytest.mark.parametrize(("these", "value"), [([0.0, 0.0], None), ([1.0, 0.0], "∞")])
def test_nothing_over_nothing_is_unknown_and_meets_no_target(these: list[float], value: str | None) -> None:
    found = ratio("", these, [0.0, 0.0], Target(text="≥ 1", least=1))
    assert found.between.startswith(value or "?")
    assert found.met is (value is not None)
    assert over_seeds("", [nan, 1.0], "1", Target(text="≥ 1", least=1)).met is False


def test_what_no_terminal_shows_is_said_line_by_line() -> None:
    told = StringIO()
    slow = (sleep(0.05) or each for each in range(8))
    console = Console(file=told, force_terminal=False)
    assert list(followed(slow, 8, "runs", console=console, each_s=0.08)) == list(range(8))
    first, *_ = told.getvalue().splitlines()
    assert " of 8 runs after " in first


def _slowly(count: int) -> int:
    note(count)
    sleep(0.3)
    return count


def test_how_far_a_run_is_shows_within_it() -> None:
    """In this process, and in those that share the work."""
    for count, said in ((1, "0 of 1 run, 1 request, after "), (2, "0 of 2 runs, ")):
        told = StringIO()
        console = Console(file=told, force_terminal=False)
        work = range(1, 1 + count)
        runs = spread(_slowly, work, processes=count)
        assert list(followed(runs, count, "runs", within="requests", console=console, each_s=0.1)) == [*work]
        noted = [line for line in told.getvalue().splitlines() if "request" in line]
        assert noted[0].startswith(said)


def test_what_one_seed_found_has_no_interval_and_a_table_of_nothing_is_none() -> None:
    assert over_seeds("", [2.0], "s").between == str(interval([2.0])) == "2.000"
    told = StringIO()
    show(Console(file=told), targets_table([]))
    assert told.getvalue() == ""
