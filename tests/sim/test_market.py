"""Capacities of small pools, and what is made of them."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tallystick_node.cli import app
from tallystick_node.sim.hardware import hardware
from tallystick_node.sim.hardware import pool as pool_of
from tallystick_node.sim.market import COUNTED, GREEDY, LEAST, LOWEST, OURS, Setting, Trial, measure, run
from tallystick_node.sim.market import arm_of as arm
from tallystick_node.sim.market_findings import GREEDIEST, attained, figures, market
from tallystick_node.sim.outfile import require_writable
from tallystick_node.sim.rerun import named_file

PAIR = Setting(pool=(hardware("Qwen3-8B", "A10G"), hardware("Qwen3-8B", "RTX3090")), trace=None, seconds=12.0)


def test_a_capacity_is_where_the_objective_fails() -> None:
    found = measure(Trial(arm=GREEDY[0], seed=1, setting=PAIR))
    assert 0.5 < found.at_99 <= found.at_95 < 10
    assert found.runs[0.5 * found.at_95].attained > 0.95
    assert run(arm(GREEDY[0]), PAIR, 2 * found.at_95, 1).attained < 0.95
    assert not found.lied_to


def test_figures_have_their_targets_and_the_best_greedy_is_one_of_them() -> None:
    names = (GREEDY[0], LEAST, OURS)
    runs = {name: [measure(Trial(arm=name, seed=1, setting=PAIR))] for name in names}
    found = {figure.name: figure for figure in figures(runs)}
    against = found[f"ours over {GREEDIEST} at 95 %"]
    assert against.value == pytest.approx(runs[OURS][0].at_95 / runs[GREEDY[0]][0].at_95)
    assert against.target is not None
    assert against.target.least == 0.97
    assert [name for name in found if "liars" in name and found[name].target is not None] == [
        f"ours: lost to a quarter of liars, at {part}% of what is held at 99 %" for part in (90, 100)
    ]
    assert len(attained(runs).panels[""]) == 3


def test_a_part_is_told_of_some_hundreds_at_any_rate() -> None:
    rare, often = PAIR.lasting(LOWEST), PAIR.lasting(1_000.0)
    assert often == PAIR
    counted = [item for item in rare.workload(LOWEST, 1) if item.at >= rare.since]
    assert len(counted) == pytest.approx(COUNTED, rel=0.5)
    assert run(arm(OURS), PAIR, LOWEST, 1).attained > 0.99


def test_what_holds_nothing_meets_no_target(tmp_path: Path) -> None:
    """An engine that takes a second for each token."""
    pool = pool_of(
        [
            "model,gpu,t0_ms,beta_ms_per_seq,weights_ms,ms_per_token_compute,kv_ms_per_ctx_token,"
            "kv_capacity_tokens,max_batched_tokens,max_num_seqs",
            "mine,abacus,1000,0,1,1,0.1,4096,512,4",
        ],
        name="p",
    )
    market(
        Setting(pool=pool, trace=None, seconds=8.0),
        seeds=range(2),
        only=[OURS, "paper", GREEDY[0]],
        json=tmp_path / "m.json",
        out=tmp_path,
        console=Console(quiet=True),
    )
    found = json.loads((tmp_path / "m.json").read_text())["figures"]
    assert {figure["value"] for figure in found if "rate held" in figure["name"]} == {0.0}
    asked = [figure for figure in found if "target" in figure]
    assert len(asked) == 5
    assert not any(figure["met"] for figure in asked)


def test_pools_and_traces_of_one_s_own_are_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("".join(f"{i / 4},200,20\n" for i in range(400)))
    setting = Setting(pool=PAIR.pool, trace=trace, seconds=8.0)
    market(
        setting,
        seeds=range(1),
        only=["single"],
        json=tmp_path / "m.json",
        out=None,
        console=Console(quiet=True),
    )
    document = json.loads((tmp_path / "m.json").read_text())
    assert document["files"]["trace"] == named_file(trace)
    assert document["files"]["pool"]["name"] == "engine_profiles.csv"
    assert document["parameters"]["pool"] == ["Qwen3-8B on A10G", "Qwen3-8B on RTX3090"]
    assert all(len(figure["by_seed"]) == 1 for figure in document["figures"])


def test_a_trace_that_pauses_for_as_long_as_requests_count_is_said_to(tmp_path: Path) -> None:
    trace = tmp_path / "burst.csv"
    trace.write_text("time,input_tokens,output_tokens\n" + "0,100,50\n" * 999 + "100000,100,50\n")
    asked = ["sim", "market", "--trace", str(trace), "--only", OURS, "--seconds", "8", "--seeds", "1"]
    ended = CliRunner().invoke(app, asked)
    assert ended.exit_code == 1
    assert "nobody asks from second" in ended.output + ended.stderr


def test_only_files_that_were_read_are_named(tmp_path: Path) -> None:
    market(
        Setting(pool=PAIR.pool, trace=None, seconds=8.0, arrivals="poisson"),
        seeds=range(1),
        only=["single"],
        json=tmp_path / "m.json",
        out=None,
        console=Console(quiet=True),
    )
    assert json.loads((tmp_path / "m.json").read_text())["files"].keys() == {"pool", "engines"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["market", "--only", "best"], "There is no dispatch 'best'."),
        (["market", "--pool", "nowhere.csv"], "nowhere.csv"),
        (["market", "--only", "ours, best"], "There is no dispatch 'best'."),
        (["market", "--json", "nowhere/m.json"], "nowhere/m.json"),
        (["paper", "--json", "nowhere/m.json"], "nowhere/m.json"),
        (["incentives", "--json", "nowhere/m.json"], "nowhere/m.json"),
        (["scale", "--json", "nowhere/m.json"], "nowhere/m.json"),
        (["measure", "http://[", "--model", "m", "--out", "nowhere/m.csv"], "nowhere/m.csv"),
        (["measure", "http://[", "--model", "m", "--out", "/dev/null", "--loads", "8, 0/s"], "not '0/s'"),
        (["market", "--trace", "nowhere.csv"], "nowhere.csv"),
        (["market", "--out", "/proc"], "/proc"),
        (["paper", "--out", "/proc"], "/proc"),
        (["incentives", "--only", "why"], "There is no question 'why'."),
        (["market", "--json", "/proc"], "/proc: Is a directory"),
        (["market", "--pool", "/proc"], "/proc: Is a directory"),
        (["paper", "--trace", "/proc"], "/proc: Is a directory"),
        (["fit", "/nowhere/measured.csv"], "/nowhere/measured.csv: No such file or directory"),
    ],
)
def test_what_is_not_there_is_said(options: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["sim", *options])
    assert result.exit_code == 1
    assert said in result.output


@pytest.mark.parametrize(
    "options",
    [
        ["scale", "--only", "wall", "--channels", "inf"],
        ["scale", "--only", "wall", "--a-day", "inf"],
        ["market", "--seconds", "inf"],
        ["market", "--seconds", "nan"],
        ["paper", "--loss", "nan"],
        ["paper", "--seeds", "0"],
        ["scale", "--nodes", "1"],
        ["scale", "--requests", "0"],
        ["scale", "--only", "gossip", "--nodes", "10001"],
        ["scale", "--only", ","],
        ["measure", "http://[", "--model", "m", "--out", "/dev/null", "--loads", ","],
        ["measure", "http://[", "--model", "m", "--out", "/dev/null", "--seconds", "0"],
    ],
)
def test_what_would_never_end_or_measure_nothing_is_refused(options: list[str]) -> None:
    assert CliRunner().invoke(app, ["sim", *options]).exit_code == 2


def test_json_on_standard_output_is_all_that_is_there() -> None:
    result = CliRunner().invoke(app, ["sim", "incentives", "--only", "deterrence", "--json", "-"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["parameters"]["only"] == ["deterrence"]
    assert "least stake" in result.stderr


def test_a_file_that_can_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text("{}")
    for path in (old, new):
        require_writable(path)
    assert (old.read_text(), new.exists()) == ("{}", False)
