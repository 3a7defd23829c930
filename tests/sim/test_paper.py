"""The paper's experiments, a few seeds of each: what they find, and what is written of it."""

import csv
import json
from pathlib import Path
from statistics import fmean

import pytest
from typer.testing import CliRunner

from tallystick_node.cli import app
from tallystick_node.sim.paper import Play, measure
from tallystick_node.sim.settings import SETTINGS
from tallystick_node.sim.studies import STUDIES, Played


def runs(study: str, case: str, seeds: int = 3) -> list[Played]:
    return [measure(Play(study, case, seed)) for seed in range(seeds)]


def mean_s(study: str, case: str) -> float:
    return fmean(run.mean_s() for run in runs(study, case))


@pytest.mark.parametrize("arm", ["single", "centralised", "paper"])
def test_the_first_setting_comes_out_as_the_paper_reports_it(arm: str) -> None:
    reported = SETTINGS["S1"].reported
    assert reported is not None
    assert mean_s("S1", arm) == pytest.approx(reported.by_arm[arm], rel=0.1)


def test_the_market_is_faster_than_the_rule_of_the_paper() -> None:
    assert mean_s("S1", "ours") < 0.92 * mean_s("S1", "paper")


def test_a_run_follows_from_its_seed() -> None:
    assert runs("S3", "ours", 1) == runs("S3", "ours", 1)


def test_all_cases_of_a_study_are_asked_the_same() -> None:
    first, *others = (measure(Play("S1", case, 0)) for case in STUDIES["S1"]())
    assert all((run.arrived, run.homes) == (first.arrived, first.homes) for run in others)


@pytest.mark.parametrize("arm", ["paper", "ours"])
def test_nothing_is_lost_where_nodes_come_leave_and_die(arm: str) -> None:
    for kind in ("join", "leave", "die"):
        (run,) = runs(kind, arm, 1)
        assert run.lost == 0
        assert {3, 4} & set(run.served)


def test_what_duels_add_is_load() -> None:
    assert mean_s("duels", "ours 0.25") > 1.02 * mean_s("duels", "ours 0.00")


def test_stake_draws_work_by_the_rule_of_the_paper() -> None:
    one, eight = (runs("stake", f"paper-equal {times}", 1)[0].bought_of(1) for times in (1, 8))
    assert eight > 1.5 * one


def test_the_command_writes_figures_charts_and_their_numbers(tmp_path: Path) -> None:
    found, folder = tmp_path / "figures.json", tmp_path / "charts"
    arguments = ["sim", "paper", "--only", "S1", "--seeds", "2", "--json", str(found), "--out", str(folder)]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 0, ended.output
    assert "As the paper reports it" in ended.output
    figures = {figure["name"]: figure for figure in json.loads(found.read_text())["figures"]}
    ratio = figures["S1: ours: mean over that of paper"]
    assert ratio["met"] is (ratio["value"] <= 0.9)
    for chart in ("S1-slo", "S1-latency", "S1-load", "S1-credit"):
        assert (folder / f"{chart}.png").read_bytes().startswith(b"\x89PNG")
        assert len(list(csv.reader((folder / f"{chart}.csv").read_text().splitlines()))) > 20


def test_a_study_that_there_is_not_is_refused() -> None:
    ended = CliRunner().invoke(app, ["sim", "paper", "--only", "S9"])
    assert ended.exit_code == 1
    assert "S9" in ended.output


def test_any_arrivals_run_on_any_machines(tmp_path: Path) -> None:
    trace, pool, found = (tmp_path / name for name in ("trace.csv", "pool.csv", "figures.json"))
    trace.write_text("".join(f"{at},300,100\n" for at in range(40)))
    pool.write_text("model,gpu,count\nQwen3-8B,L4,2\nQwen3-8B,H100,1\n")
    arguments = [
        "sim",
        "paper",
        "--seeds",
        "1",
        "--trace",
        str(trace),
        "--pool",
        str(pool),
        "--json",
        str(found),
    ]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 0, ended.output
    document = json.loads(found.read_text())
    assert document["files"].keys() == {"trace", "pool", "engines"}
    figures = {figure["name"]: figure["value"] for figure in document["figures"]}
    assert f"{trace}: 40 requests in 39 s, of 300 tokens in and 100 out" in ended.output
    assert "As the paper reports it" not in ended.output
    assert figures["own: ours: lost"] == 0
    assert figures["own: ours: mean"] < figures["own: single: mean"]


def test_studies_of_the_paper_have_arrivals_and_machines_of_their_own() -> None:
    ended = CliRunner().invoke(app, ["sim", "paper", "--only", "S1", "--pool", "pool.csv"])
    assert ended.exit_code == 2
    assert "--only" in ended.output


def test_a_file_of_no_arrivals_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("nothing\n")
    ended = CliRunner().invoke(app, ["sim", "paper", "--trace", str(tmp_path / "trace.csv")])
    assert ended.exit_code == 1
    assert "trace.csv" in ended.output
