"""Files of arrivals that somebody recorded: a time, tokens of the prompt, tokens of the answer.

Public traces name their columns each in its own way (Azure's ContextTokens and GeneratedTokens, BurstGPT's
Request tokens behind a model's name, Vidur's num_prefill_tokens, OpenAI's prompt_tokens): columns are
found by words of their names, and are the first three where those say nothing else, or there are none.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Final

_TIMES: Final = (re.compile(r"stamp|arriv"), re.compile(r"time|date"))
"""A time of arrival before any other: files hold how long answers took as well."""
_INPUTS: Final = (
    re.compile(r"(context|prompt|input|request|prefill).*(tok|len|size)"),
    re.compile(r"^\s*(context|prompt|input)\s*$"),
)
_OUTPUTS: Final = (
    re.compile(r"(generat|output|response|completion|answer|decode).*(tok|len|size)"),
    re.compile(r"^\s*(output|completion|response|answer)\s*$"),
)
"""By their tokens before any other: files hold what was said as well."""
_SEPARATORS: Final = ",;\t"
_DIGITS: Final = 12
"""Of a count."""
_LONGEST_S: Final = 366 * 86_400.0
"""From the first arrival to the last: all of it is played, and more is no time in seconds."""
_SHOWN: Final = 80
"""Characters of what cannot be read."""

Row = tuple[float, int, int]


class TraceUnreadable(Exception):
    """A file of arrivals is none."""


def read_rows(path: Path) -> Sequence[Row]:
    """Seconds since whenever, tokens of the prompt and of the answer, by time; at least one.

    Raises
    ------
    TraceUnreadable :
        A line is not of that kind, or there is none.
    """
    try:
        now = path.stat()
        return _read(path, now.st_mtime_ns, now.st_size)
    except UnicodeDecodeError as error:
        raise TraceUnreadable(f"{path}: it is no text in UTF-8") from error
    except OSError as error:
        raise TraceUnreadable(f"{path}: {error.strerror or error}") from error
    except csv.Error as error:
        raise TraceUnreadable(f"{path}: {error}") from error


@lru_cache(maxsize=1)
def _read(path: Path, _changed: int, _size: int) -> Sequence[Row]:
    """Once for all runs of a process: a million lines take seconds."""
    rows = sorted(_rows(path))
    if not rows:
        raise TraceUnreadable(f"{path}: no arrivals")
    if (span := rows[-1][0] - rows[0][0]) > _LONGEST_S:
        raise TraceUnreadable(
            f"{path}: from the first arrival to the last it is {span / 86_400:,.0f} days; times are seconds, "
            f"or ISO 8601, of a year at most"
        )
    return rows


def summary(path: Path) -> str:
    """What was read, for whoever wants to see whether it was meant. Raises TraceUnreadable."""
    rows = read_rows(path)
    span = rows[-1][0] - rows[0][0]
    return (
        f"{path}: {len(rows):,} requests in {span:,.0f} s, of {fmean(row[1] for row in rows):,.0f} tokens in "
        f"and {fmean(row[2] for row in rows):,.0f} out in the mean"
    )


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
                if _seconds(cells[0]) is None:  # The line of names.
                    places = _places(cells, path)
                    continue
                places = range(3)
            row = _row(cells, places)
            if row is None:
                said = str([cells[place] for place in places if place < len(cells)])
                raise TraceUnreadable(
                    f"{path}, line {lines.line_num}: not a time and two counts of tokens: "
                    f"{said if len(said) <= _SHOWN else said[:_SHOWN] + '…'}"
                )
            yield row


def _places(names: Sequence[str], path: Path) -> Sequence[int]:
    """Of the time and both counts. Raises TraceUnreadable where names tell of some alone, and not that they
    are the first three in this order."""
    output = _place(names, _OUTPUTS)
    found = _place(names, _TIMES), _place(names, _INPUTS, but=output), output
    places = [place for place in found if place is not None]
    if len(places) == 3:
        return places
    if any(place not in (None, usual) for usual, place in enumerate(found)):
        raise TraceUnreadable(
            f"{path}: of its columns {', '.join(names)} it is not clear which are the time and the tokens of "
            f"prompt and answer: name them timestamp, input_tokens, output_tokens"
        )
    return range(3)


def _place(names: Sequence[str], patterns: Sequence[re.Pattern[str]], but: int | None = None) -> int | None:
    """Of the first name that the first of these patterns is found in, which is found in any."""
    for wanted in patterns:
        for place, name in enumerate(names):
            if place != but and wanted.search(name.lower()):
                return place
    return None


def _row(cells: Sequence[str], places: Sequence[int]) -> Row | None:
    if len(cells) <= max(places):
        return None
    at, (input_, output) = _seconds(cells[places[0]]), (_count(cells[place]) for place in places[1:])
    return None if at is None or input_ is None or output is None else (at, input_, output)


def _count(text: str) -> int | None:
    """Tables write whole numbers as 374.0 where one in the column is missing."""
    whole = text.strip().removesuffix(".0")
    return int(whole) if whole.isdecimal() and len(whole) <= _DIGITS else None


def _seconds(text: str) -> float | None:
    """Since whenever; None: no time."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            when = datetime.fromisoformat(text.strip())
            seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
        except ValueError:
            return None
    return seconds if -inf < seconds < inf else None
