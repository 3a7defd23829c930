"""Files of arrivals that somebody recorded: a time, tokens of the prompt, tokens of the answer.

Public traces name their columns each in its own way (Azure's ContextTokens and GeneratedTokens, BurstGPT's
Request tokens behind a model's name, Vidur's num_prefill_tokens, OpenAI's prompt_tokens): columns are
found by words of their names, and are the first three where that does not tell, or there are none.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Final

_TIME: Final = re.compile(r"time|arriv|date")
_INPUT: Final = re.compile(r"(context|prompt|input|request|prefill).*(tok|len|size)")
_OUTPUT: Final = re.compile(r"(generat|output|response|completion|answer|decode).*(tok|len|size)")
_SEPARATORS: Final = ",;\t"

Row = tuple[float, int, int]


class TraceUnreadable(Exception):
    """A file of arrivals is none."""


def read_rows(path: Path) -> list[Row]:
    """Seconds since whenever, tokens of the prompt and of the answer, by time; at least one.

    Raises
    ------
    TraceUnreadable :
        A line is not of that kind, or there is none.
    """
    try:
        rows = sorted(_rows(path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceUnreadable(f"{path}: {error}") from error
    if not rows:
        raise TraceUnreadable(f"{path}: no arrivals")
    return rows


def _rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        separator = max(_SEPARATORS, key=file.readline().count)
        file.seek(0)
        lines = csv.reader(file, delimiter=separator)
        places: Sequence[int] | None = None
        for cells in lines:
            if not cells:
                continue
            if places is None:
                places = _places(cells)
                if _seconds(cells[0]) is None:
                    continue  # The line of names.
            row = _row(cells, places)
            if row is None:
                raise TraceUnreadable(
                    f"{path}, line {lines.line_num}: not a time and two counts of tokens: {cells}"
                )
            yield row


def _places(names: Sequence[str]) -> Sequence[int]:
    found = [
        next((place for place, name in enumerate(names) if wanted.search(name.lower())), None)
        for wanted in (_TIME, _INPUT, _OUTPUT)
    ]
    places = [place for place in found if place is not None]
    return places if len(places) == 3 else range(3)


def _row(cells: Sequence[str], places: Sequence[int]) -> Row | None:
    if len(cells) <= max(places):
        return None
    at, (input_, output) = _seconds(cells[places[0]]), (_count(cells[place]) for place in places[1:])
    return None if at is None or input_ is None or output is None else (at, input_, output)


def _count(text: str) -> int | None:
    """Tables write whole numbers as 374.0 where one in the column is missing."""
    whole = text.strip().removesuffix(".0")
    return int(whole) if whole.isdecimal() else None


def _seconds(text: str) -> float | None:
    """Since whenever; None: no time."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            when = datetime.fromisoformat(text.strip()[:26])  # Finer than microseconds it does not read.
            seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
        except ValueError:
            return None
    return seconds if -inf < seconds < inf else None
