"""What a report says of how its figures came about is enough to get them again."""

import json
from dataclasses import fields
from hashlib import sha256
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tallystick.client.rules import Quoted
from tallystick_node.cli import app
from tallystick_node.sim.benched import BadBench, Benched, benched
from tallystick_node.sim.report import Figure, write_json
from tallystick_node.sim.rerun import code, constants, named_file

SLOW = [Figure(name="slow", value=1.0, unit="s")]


def test_a_file_is_named_by_what_it_holds_and_not_by_where_it_lies(tmp_path: Path) -> None:
    trace = tmp_path / "deep" / "trace.csv"
    trace.parent.mkdir()
    trace.write_bytes(b"0,1,1\n")
    assert named_file(trace) == {"name": "trace.csv", "sha256": sha256(b"0,1,1\n").hexdigest()}


def test_constants_are_those_that_the_modules_hold_and_those_of_the_live_rules() -> None:
    found = constants(["settings", "incentives"])
    assert found["strikes.STRIKES"] == 3
    assert found["quote.TOLERATED"] == 1.5
    assert found["Quoted"] == {field.name: getattr(Quoted(), field.name) for field in fields(Quoted)}
    settings = found["settings.SETTINGS"]
    assert isinstance(settings, dict)
    assert settings["S1"]["machines"][0]["speed"]["chunk"] == 2_048
    json.dumps(found, allow_nan=False)


def test_a_report_says_which_code_files_and_constants_it_came_of(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    write_json(file, "x", {}, SLOW, files={"trace": {"name": "t", "sha256": "0"}}, modules=["walls"])
    read = json.loads(file.read_text())
    assert read["code"] == code()
    assert len(read["code"]["source"]) == 64
    assert read["files"] == {"trace": {"name": "t", "sha256": "0"}}
    assert read["constants"]["walls.GATEWAYS"] == 1_000


@pytest.mark.parametrize(
    ("arguments", "parameters", "files"),
    [
        (["scale", "--only", "wall", "--a-day", "7"], {"seed": 1, "only": ["wall"]}, {"engines"}),
        (["incentives", "--only", "deterrence"], {"seeds": 3, "first_seed": 0}, {"engines"}),
    ],
)
def test_every_command_writes_what_it_takes(
    tmp_path: Path, arguments: list[str], parameters: dict[str, object], files: set[str]
) -> None:
    file = tmp_path / "figures.json"
    ran = CliRunner().invoke(app, ["sim", *arguments, "--json", str(file)])
    assert ran.exit_code == 0, ran.output
    read = json.loads(file.read_text())
    assert parameters.items() <= read["parameters"].items()
    assert read["files"].keys() == files
    assert {"code", "constants", "figures"} <= read.keys()


# ------------------------------------------------------------------------------------------ what a bench said


def written(folder: Path, *rows: tuple[str, str, float]) -> Path:
    file = folder / "bench.json"
    keys = ("section", "name", "value")
    file.write_text(json.dumps([dict(zip(keys, row, strict=True)) for row in rows]))
    return file


def test_what_a_bench_said_takes_the_place_of_what_stands_there(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        ("the explorer's index", "from a made node, into SQLite", 5_000.0),
        ("What a request costs the gateway", "CPU of one at 16, ours", 500.0),
        ("something else", "from a made node, into SQLite", 1.0),
    )
    assert benched([file]) == Benched(index_events_s=5_000.0, requests_s=2_000.0)
    assert benched([]) == Benched()


def test_a_file_that_says_nothing_of_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadBench, match="no figure"):
        benched([written(tmp_path, ("gas", "settle 1 row", 43_975.0))])
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(BadBench):
        benched([tmp_path / "x.json"])
