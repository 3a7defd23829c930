"""What a command has to say: one value, shown to people or to programs. One place prints it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tallystick.protocol.units import to_hex


@dataclass(frozen=True, slots=True)
class View:
    """The same facts twice."""

    data: Any
    """As JSON: integers that count atoms are decimal strings, bytes `0x…`."""
    shown: Any
    """As rich renders it."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Text as it comes, and what there is to say once it has."""

    pieces: Iterator[str]
    end: Callable[[], View]
    """Asked once the pieces are through."""


@dataclass(frozen=True, slots=True)
class Course:
    """What a command that goes on has to say, each when it is time. As JSON, a line each."""

    views: Iterator[View]


def lines(data: Any, *text: str) -> View:
    return View(data, "\n".join(text))


def table(
    data: Any, columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str, note: str | None = None
) -> View:
    """Columns whose name ends in `>` stand to the right. The note stands below.

    Where the terminal is narrow, addresses and hashes give way, and nothing else.
    """
    rows = list(rows)
    if not rows:
        return View(data, empty)
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="dim", caption=note, caption_justify="left")
    for number, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if column.endswith(">") else "left"
        cells = [row[number] for row in rows]
        gives_way = all(cell.startswith("0x") for cell in cells)
        width = None if gives_way else max(len(column.rstrip(">")), *map(len, cells))
        shown.add_column(
            column.rstrip(">"), justify=justify, no_wrap=not gives_way, overflow="ellipsis", min_width=width
        )
    for row in rows:
        shown.add_row(*row)
    return View(data, shown)


def facts(data: Any, pairs: Iterable[tuple[str, str]]) -> View:
    """Names and values, one a line."""
    from rich.table import Table

    shown = Table.grid(padding=(0, 2))
    shown.add_column(style="dim")
    for name, value in pairs:
        shown.add_row(name, value)
    return View(data, shown)


def short(value: bytes) -> str:
    """`0x1234abcd…5678`: enough to recognise, not to copy."""
    text = to_hex(value)
    return f"{text[:10]}…{text[-4:]}"
