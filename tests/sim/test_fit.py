"""Constants that are found by looking on foretell what was not looked at."""

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from tallystick.protocol.speed import Speed
from tallystick.protocol.units import Tokens
from tallystick_node.cli import app
from tallystick_node.sim.fit import (
    COLUMNS,
    BadMeasure,
    Constants,
    Measured,
    checks,
    figures,
    fitted,
    parted,
    played,
    read,
    write,
)

REAL = Constants(
    speed=Speed(
        fixed=2_500_000_000,
        sequence=300_000_000,
        weights=0,
        token=40_000_000,
        context=60_000,
        capacity=Tokens(3_000),
        chunk=Tokens(512),
    ),
    outside=8_000_000_000,
)
"""Like a tiny model on a processor."""
SLOTS = 16


def load(name: str, rate: float, *, seed: int, count: int = 60) -> list[Measured]:
    """So many requests a second, as an engine of REAL answers them; each time is a few percent off."""
    random, at = Random(seed), 0.0
    asked = []
    for _ in range(count):
        at += random.expovariate(rate)
        asked.append(Measured(name, at, random.randint(4, 200), random.randint(4, 120), 1.0, 1.0))

    def noisy(item: Measured) -> Measured:
        return replace(
            item,
            first_s=item.first_s * random.uniform(0.95, 1.05),
            end_s=item.end_s * random.uniform(1.0, 1.05) + 0.01,
        )

    return [noisy(item) for item in played(REAL, SLOTS, asked)]


def test_constants_found_at_some_loads_foretell_another() -> None:
    seen = [*load("2/s", 2, seed=1), *load("10/s", 10, seed=2), *load("20/s", 20, seed=3)]
    found = fitted(seen, slots=SLOTS, capacity=3_000, chunk=512)
    assert all(abs(check.off) < 0.15 for check in checks(found, SLOTS, load("14/s", 14, seed=4)))
    for name in ("fixed", "outside"):
        wrong = found.moved(name, 2)
        assert any(abs(check.off) > 0.15 for check in checks(wrong, SLOTS, load("14/s", 14, seed=4)))


def test_a_mark_of_a_byte_order_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    """As spreadsheets write it."""
    file = tmp_path / "measured.csv"
    file.write_text("\n".join([",".join(COLUMNS), "1,0.0,10,5,0.1,0.5", ""]), encoding="utf-8-sig")
    ran = CliRunner().invoke(app, ["sim", "fit", str(file)])
    assert ran.exit_code == 0, ran.output
    assert "[engine.speed]" in ran.output


def test_what_is_written_is_read() -> None:
    file = StringIO()
    write(load("2/s", 2, seed=1), file)
    again = read(StringIO(file.getvalue()), "it")
    assert [(item.load, item.input, item.output) for item in again] == [
        (item.load, item.input, item.output) for item in load("2/s", 2, seed=1)
    ]


HEAD = ",".join(COLUMNS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "load,at\nx,1\n",
        f"{HEAD}\nx,0,5,5,2.0,1.0\n",
        f"{HEAD}\nx,nan,5,5,1.0,2.0\n",
        f"{HEAD}\nx,inf,5,5,1.0,2.0\n",
        f"{HEAD}\nx,0,5,5,1.0,inf\n",
        f"{HEAD}\nx,0,{'9' * 5_000},5,1.0,2.0\n",
    ],
)
def test_what_is_no_measure_is_refused(text: str) -> None:
    with pytest.raises(BadMeasure):
        read(StringIO(text), "it")


def test_a_file_of_no_text_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    file.write_bytes(bytes(range(256)))
    ran = CliRunner().invoke(app, ["sim", "fit", str(file)])
    assert ran.exit_code == 1
    assert "measured.csv: it is no text in UTF-8" in ran.output


@pytest.mark.parametrize(("foretold", "asked"), [("", 0), ("2", 4)])
def test_all_that_is_found_is_written_and_only_what_was_foretold_has_a_target(
    tmp_path: Path, foretold: str, asked: int
) -> None:
    file, found = tmp_path / "measured.csv", tmp_path / "figures.json"
    file.write_text(f"{HEAD}\n1,0,10,5,0.1,0.5\n2,0,10,5,0.1,0.5\n")
    arguments = ["sim", "fit", str(file), "--foretold", foretold, "--json", str(found)]
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 0, ran.output
    made = {figure["name"]: figure for figure in json.loads(found.read_text())["figures"]}
    assert sum("target" in figure for figure in made.values()) == asked
    assert {"fixed", "sequence", "token", "context", "outside", "capacity", "chunk"} <= made.keys()
    assert f"fixed = {made['fixed']['value']}" in ran.output
    assert made["2: whole answer, mean: measured"]["value"] == 0.5
    assert made["2: first token, mean: answers"]["value"] == 1
    off = made["2: whole answer, mean: foretold"]["value"] / 0.5 - 1
    assert made["2: whole answer, mean: off"]["value"] == pytest.approx(off)


def test_what_cannot_be_written_in_the_end_is_said(tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    file.write_text(f"{HEAD}\n1,0,10,5,0.1,0.5\n")
    ran = CliRunner().invoke(app, ["sim", "fit", str(file), "--json", "/dev/full"])
    assert ran.exit_code == 1
    assert "No space left" in ran.output


def test_rounds_of_a_load_are_played_apart_and_foretold_together() -> None:
    first = load("2/s", 2, seed=1, count=10)
    second = [replace(item, load="2/s #2") for item in load("2/s", 2, seed=2, count=10)]
    others = load("10/s", 10, seed=3, count=10)
    seen, foretold = parted([*first, *others, *second], ["2/s"])
    found = checks(REAL, SLOTS, foretold)

    assert seen == others
    assert [(check.load, check.answers) for check in found] == [("2/s", 20)] * 4
    assert all(figure.met for figure in figures(found))
    with pytest.raises(BadMeasure, match="3/s"):
        parted(others, ["3/s"])


def test_a_real_vllm_is_foretold_within_fifteen_percent() -> None:
    """vLLM 0.32 with the tiny model on two quiet cores, as `tally-node sim measure` wrote it."""
    file = Path(__file__).parent / "data" / "vllm-cpu-tiny.csv"
    with file.open() as opened:
        seen, others = parted(read(opened, file.name), ["8", "5/s"])
    assert len(seen) + len(others) == 1_333
    found = checks(fitted(seen, slots=32, chunk=1_024), 32, others)
    assert len(found) == 8
    assert all(abs(check.off) <= 0.15 for check in found)
