"""What a simulation found, in figures: each with its interval and, where it has one, its target.

It knows no world: numbers come in, tables and files go out. A target that is missed is written as missed.
"""

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, isnan, nan, sqrt
from pathlib import Path
from statistics import fmean, stdev
from types import MappingProxyType
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tallystick_node.sim.outfile import is_stdout, written
from tallystick_node.sim.rerun import code, constants

_T95: Final = (
    *(
        12.706,
        4.303,
        3.182,
        2.776,
        2.571,
        2.447,
        2.365,
        2.306,
        2.262,
        2.228,
        2.201,
        2.179,
        2.160,
        2.145,
        2.131,
    ),
    *(
        2.120,
        2.110,
        2.101,
        2.093,
        2.086,
        2.080,
        2.074,
        2.069,
        2.064,
        2.060,
        2.056,
        2.052,
        2.048,
        2.045,
        2.042,
    ),
)
"""Student's t for 95 % of two sides, by degrees of freedom from one; 1.96 beyond."""

_WIDTH: Final = 120


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds, and where it lies with 95 % confidence."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return _between(self.mean, self.high)


def interval(values: Sequence[float]) -> Interval:
    """Of one seed, nothing is known of how far others lie; one infinite value makes the mean infinite, and
    one that nobody knows makes it unknown."""
    if not values or any(map(isnan, values)):
        return Interval(nan, nan, nan)
    if not all(map(isfinite, values)):
        return Interval(inf, -inf, inf)
    mean = fmean(values)
    if len(values) == 1:
        return Interval(mean, -inf, inf)
    t = _T95[len(values) - 2] if len(values) - 2 < len(_T95) else 1.96
    half = t * stdev(values) / sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a figure is to be: inside both bounds, which count as inside."""

    text: str
    """As a reader is told."""
    least: float = -inf
    most: float = inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number that a run found."""

    name: str
    """As "S1: ours: mean". No two of one report are alike."""
    value: float
    unit: str
    """ "s", "requests/s", "1" for a part or a ratio, …"""
    low: float | None = None
    high: float | None = None
    """Where the mean over seeds lies with 95 % confidence."""
    by_seed: Sequence[float] = ()
    """What it is the mean of, in the order of the seeds."""
    target: Target | None = None
    note: str = ""
    """Why it is unknown, where there is more to say."""

    @property
    def between(self) -> str:
        """Its value, and half of its interval."""
        return shown(self.value) if self.high is None else _between(self.value, self.high)

    @property
    def met(self) -> bool | None:
        """None: nothing was asked of it."""
        return None if self.target is None else self.target.least <= self.value <= self.target.most

    def as_json(self) -> dict[str, object]:
        made: dict[str, object] = {"name": self.name, "value": _plain(self.value), "unit": self.unit}
        if self.low is not None and self.high is not None:
            made |= {"low": _plain(self.low), "high": _plain(self.high)}
        if self.by_seed:
            made["by_seed"] = [_plain(value) for value in self.by_seed]
        if self.target is not None:
            made["target"] = {
                "text": self.target.text,
                "least": _plain(self.target.least),
                "most": _plain(self.target.most),
            }
            made["met"] = self.met
        if self.note:
            made["note"] = self.note
        return made


def over_seeds(name: str, values: Sequence[float], unit: str, target: Target | None = None) -> Figure:
    """The mean of one value a seed."""
    found = interval(values)
    return Figure(
        name=name,
        value=found.mean,
        unit=unit,
        low=found.low,
        high=found.high,
        by_seed=tuple(values),
        target=target,
    )


def ratio(name: str, these: Sequence[float], those: Sequence[float], target: Target | None = None) -> Figure:
    """Of the means over all seeds; the seeds are pairs. Over nothing it is infinite, and of nothing over
    nothing it is unknown."""
    base = fmean(those)
    if not base:
        value = inf if fmean(these) > 0 else nan
        return Figure(name=name, value=value, unit="1", low=nan, high=nan, target=target)
    value = fmean(these) / base
    off = interval([(a - value * b) / base for a, b in zip(these, those, strict=True)])
    return Figure(name=name, value=value, unit="1", low=value + off.low, high=value + off.high, target=target)


def seeds_json(seeds: range) -> Mapping[str, object]:
    """Which runs were made, as `--seeds` and `--first-seed` say it."""
    return {"seeds": len(seeds), "first_seed": seeds.start}


def write_json(
    path: Path,
    command: str,
    parameters: Mapping[str, object],
    figures: Sequence[Figure],
    *,
    files: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    modules: Sequence[str] = (),
) -> None:
    """With all that it takes to get the same again: `parameters` of the command, the `files` that it read, by
    what they are, and the constants of these modules of the simulator; `-` is standard output."""
    names = [figure.name for figure in figures]
    assert len(names) == len(set(names)), "two figures of one name"
    document = {
        "command": command,
        "code": dict(code()),
        "parameters": dict(parameters),
        "files": {what: dict(file) for what, file in files.items()},
        "constants": constants(modules),
        "figures": [figure.as_json() for figure in figures],
    }
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    if is_stdout(path):
        sys.stdout.write(text)
        return
    with written(path) as part:
        part.write_text(text, encoding="utf-8")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with written(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """The first column is words, the others are numbers."""
    made = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for place, head in enumerate(header):
        made.add_column(head, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        made.add_row(*row)
    return made


def console(json: Path | None = None) -> Console:
    """Wide enough for the tables, whatever reads them; on standard error where `json` takes the output."""
    made = Console(stderr=is_stdout(json))
    return made if made.is_terminal else Console(stderr=made.stderr, width=_WIDTH)


def targets_table(figures: Sequence[Figure]) -> Table:
    """Those of which something was asked."""
    return table(
        "What was asked of it",
        ("figure", "found", "target", ""),
        (
            (figure.name, shown(figure.value), figure.target.text, _verdict(figure))
            for figure in figures
            if figure.target is not None
        ),
    )


def show(console: Console, *tables: Table) -> None:
    """Those that have something to show."""
    for its in tables:
        if its.row_count:
            console.print(its)


def _between(mean: float, high: float) -> str:
    """With half of its interval, where that is known: one seed tells nothing of others."""
    return f"{shown(mean)} ± {shown(high - mean)}" if isfinite(high) else shown(mean)


def _verdict(figure: Figure) -> str:
    if figure.met:
        return "met"
    if not isnan(figure.value):
        return "MISSED"
    return f"UNKNOWN: {figure.note}" if figure.note else "UNKNOWN"


def shown(value: float) -> str:
    """As many digits as are worth reading."""
    if not isfinite(value):
        return "?" if isnan(value) else "∞"
    size = abs(value)
    return f"{value:,.0f}" if size >= 1_000 else f"{value:.1f}" if size >= 20 else f"{value:.3f}"


def _plain(value: float) -> float | None:
    """JSON has no infinity."""
    return value if isfinite(value) else None
