"""The page of figures, for a terminal and for docs/performance.md. It measures nothing."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from tallystick_node.local.bench.row import Row

_HEAD: Final = ("", "figure", "target", "baseline", "")


def as_text(rows: Sequence[Row]) -> str:
    """One line a figure, each beside its target and its baseline."""
    lines = []
    for section, items in groupby(rows, key=lambda row: row.section):
        table = [_HEAD, *(_cells(row) for row in items)]
        widths = [max(len(line[column]) for line in table) for column in range(len(_HEAD))]
        lines += ["", section]
        lines += ["  " + _aligned(line, widths).rstrip() for line in table]
    missed = [row for row in rows if row.missed]
    held = sum(row.target is not None for row in rows)
    lines += ["", f"{held - len(missed)} of {held} targets met"]
    lines += [f"  missed: {row.section}: {row.name.strip()}" for row in missed]
    return "\n".join(lines).lstrip("\n")


def as_markdown(
    rows: Sequence[Row], reason: Callable[[Row], str], head: str, soak: Mapping[str, Any] | None = None
) -> str:
    """`reason`: why a row misses its target. `soak`: what `scripts/soak --json` wrote."""
    lines = [head]
    for section, items in groupby(rows, key=lambda row: row.section):
        lines += ["", f"## {section[0].upper()}{section[1:]}", ""]
        lines += table(_HEAD, map(_cells, items), "lrrrl")
    lines += ["", "## What is missed, and why", ""]
    lines += list(_misses(rows, reason)) or ["Nothing."]
    if soak is not None:
        lines += ["", *_soak(soak)]
    return "\n".join(lines) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], sides: str) -> Iterator[str]:
    """Markdown's. `sides`: of each column, `l` or `r`."""
    yield _line(head)
    yield "|" + "|".join("---" if side == "l" else "--:" for side in sides) + "|"
    yield from map(_line, rows)


def _line(cells: Sequence[str]) -> str:
    return "|" + "|".join(f" {cell.strip()} " if cell else " " for cell in cells) + "|"


def put_between(page: Path, marker: str, text: str) -> None:
    """Writes `text` into the page in place of what stands between two comments; raises ValueError where it
    has no such place."""
    start, end = f"<!-- {marker}: generated -->\n", f"\n<!-- end of {marker} -->"
    before, found, rest = page.read_text("utf-8").partition(start)
    _, also_found, after = rest.partition(end)
    if not found or not also_found:
        raise ValueError(f"{page} has no place for {marker}: {start.strip()} … {end.strip()}")
    page.write_text(before + start + text + end + after, "utf-8")


def _misses(rows: Sequence[Row], reason: Callable[[Row], str]) -> Iterator[str]:
    for row in rows:
        if row.missed:
            found = f"{_number(row.value)} {row.unit}, target {_target(row)}"
            yield f"- **{row.name.strip()}**: {found}. {reason(row)}"


def _soak(report: Mapping[str, Any]) -> Iterator[str]:
    yield "## A soak"
    yield ""
    command = f"scripts/soak --minutes {report['minutes']:g} --seed {report['seed']}"
    yield (
        f"`{command}`: {report['payers']} payers in {report['processes']} processes, {report['providers']} "
        "providers and a chain on the same machine, while parts of it were killed."
    )
    yield ""
    yield from (f"- {check['question']}: {check['found']}" for check in report["checks"])
    kept = report["database"]
    yield (
        f"- the providers' databases grew by {kept['bytes_a_request']:,} bytes a request, with every answer "
        f"kept ({kept['requests']:,} requests)"
    )


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers, note = cells
    right = (cell.rjust(width) for cell, width in zip(numbers, widths[1:-1], strict=True))
    return "   ".join([name.ljust(widths[0]), *right, note])


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    baseline = "" if row.baseline is None else _number(row.baseline)
    notes = [f"baseline: {row.baseline_name}" if row.baseline is not None else "", row.note]
    mark = "MISSED" if row.missed else ""
    note = "; ".join(part for part in (mark, *notes) if part)
    return row.name, f"{_number(row.value)} {row.unit}", _target(row), baseline, note


def _target(row: Row) -> str:
    return "" if row.target is None else f"{'≥' if row.at_least else '≤'} {_number(row.target)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.2f}"
