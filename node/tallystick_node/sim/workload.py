"""What own users ask for, and when: arrivals in order of time, which follow from a seed.

A generator yields one arrival at a time, so that a million need no memory. It knows nothing of nodes but how
many there are, and nothing of engines.
"""

import csv
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from io import StringIO
from itertools import pairwise
from math import log
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Final

from tallystick.protocol.value import value
from tallystick_node.sim.recorded import TraceUnreadable, read_rows

AZURE: Final = "azure_conv_2023.csv"
"""See data/README.md for its licence."""


@value(kw_only=False)
class Arrival:
    """One request of one node's own user."""

    at: float
    """Seconds from the start."""
    home: int
    """Index of the node whose user asks."""
    input: int
    """Tokens."""
    output: int
    """Tokens that the answer will have; nobody but the engine knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Tokens of prompts and answers: each lognormal, and cut."""

    input_median: float
    input_sigma: float
    output_median: float
    output_sigma: float
    input_most: int
    output_most: int

    def drawn(self, random: Random) -> tuple[int, int]:
        return (
            _cut(random.lognormvariate(log(self.input_median), self.input_sigma), self.input_most),
            _cut(random.lognormvariate(log(self.output_median), self.output_sigma), self.output_most),
        )


CHAT: Final = Lengths(
    input_median=837,
    input_sigma=0.8,
    input_most=7_000,
    output_median=141,
    output_sigma=0.9,
    output_most=1_000,
)
"""Like the Azure chat trace, whose means are 1,155 and 211 tokens."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A Poisson process for a while: each piece of a schedule starts anew."""

    gap_s: float
    """Mean time between arrivals."""
    start_s: float
    end_s: float


def scheduled(schedule: Sequence[Sequence[Stretch]], lengths: Lengths, *, seed: int) -> Iterator[Arrival]:
    """The pieces of each node, which draw independently of all other nodes'."""
    return heapq.merge(
        *(
            _pieces(pieces, home, lengths, Random(f"{seed} scheduled {home}"))
            for home, pieces in enumerate(schedule)
        ),
        key=lambda arrival: arrival.at,
    )


def poisson(
    rate: float, seconds: float, lengths: Lengths, *, homes: Sequence[int], seed: int
) -> Iterator[Arrival]:
    """`rate` requests a second of all `homes` together."""
    random = Random(f"{seed} poisson")
    at = random.expovariate(rate)
    while at < seconds:
        yield Arrival(at, random.choice(homes), *lengths.drawn(random))
        at += random.expovariate(rate)


def bursty(
    rate: float,
    seconds: float,
    lengths: Lengths,
    *,
    homes: Sequence[int],
    seed: int,
    burst: float = 5.0,
    quiet_s: float = 45.0,
    burst_s: float = 5.0,
) -> Iterator[Arrival]:
    """`rate` requests a second in the mean. Each home is quiet and bursts in turns, for exponential times of
    means `quiet_s` and `burst_s`; in a burst it asks `burst` times as often as when it is quiet."""
    share = burst_s / (quiet_s + burst_s)
    quiet_rate = rate / len(homes) / (1 - share + burst * share)
    return heapq.merge(
        *(
            _bursts(
                home, quiet_rate, burst, quiet_s, burst_s, seconds, lengths, Random(f"{seed} bursty {home}")
            )
            for home in homes
        ),
        key=lambda arrival: arrival.at,
    )


def azure(rate: float, seconds: float, *, homes: Sequence[int], seed: int) -> Iterator[Arrival]:
    """The public chat trace of an hour, with time compressed or stretched to `rate` requests a second in the
    mean, from a place in it that follows from the seed, and from its start again where it ends."""
    text = resources.files("tallystick_node.sim").joinpath("data", AZURE).read_text()
    rows = [(int(after), int(input_), int(output)) for after, input_, output in _table(text)[1:]]
    yield from _around(rows, rate, seconds, homes, Random(f"{seed} azure"))


def _around(
    rows: Sequence[tuple[float, int, int]], rate: float, seconds: float, homes: Sequence[int], random: Random
) -> Iterator[Arrival]:
    """Of each row the time since the one before, in whatever unit, and tokens."""
    scale = 1 / (sum(after for after, _, _ in rows) / len(rows) * rate)
    at, place = 0.0, random.randrange(len(rows))
    while True:
        after, input_, output = rows[place]
        at += after * scale
        if at >= seconds:
            return
        yield Arrival(at, random.choice(homes), max(1, input_), max(1, output))
        place = (place + 1) % len(rows)


def trace(path: Path, *, homes: Sequence[int], seed: int) -> Iterator[Arrival]:
    """Any file of time, prompt tokens, output tokens: seconds or ISO 8601, in any order, with a line of names
    above or not.

    Raises
    ------
    TraceUnreadable :
        A line is not of that kind, or there is none.
    """
    rows = read_rows(path)
    start = rows[0][0]
    random = Random(f"{seed} trace")
    for at, input_, output in rows:
        yield Arrival(at - start, random.choice(homes), max(1, input_), max(1, output))


def trace_at(
    path: Path, rate: float, seconds: float, *, homes: Sequence[int], seed: int
) -> Iterator[Arrival]:
    """Such a file, compressed or stretched as `azure` does it. Raises TraceUnreadable."""
    rows = read_rows(path)
    if rows[0][0] == rows[-1][0]:
        raise TraceUnreadable(f"{path}: all arrivals are at one moment: it has no pace to change")
    gaps = [after[0] - before[0] for before, after in pairwise(rows)]
    gaps.insert(0, fmean(gaps))  # From its end to its start.
    paced = [(gap, input_, output) for gap, (_, input_, output) in zip(gaps, rows, strict=True)]
    yield from _around(paced, rate, seconds, homes, Random(f"{seed} trace"))


def _pieces(pieces: Sequence[Stretch], home: int, lengths: Lengths, random: Random) -> Iterator[Arrival]:
    for piece in pieces:
        at = piece.start_s + random.expovariate(1 / piece.gap_s)
        while at < piece.end_s:
            yield Arrival(at, home, *lengths.drawn(random))
            at += random.expovariate(1 / piece.gap_s)


def _bursts(
    home: int,
    rate: float,
    burst: float,
    quiet_s: float,
    burst_s: float,
    seconds: float,
    lengths: Lengths,
    random: Random,
) -> Iterator[Arrival]:
    bursting = random.random() < burst_s / (quiet_s + burst_s)
    start = 0.0
    while start < seconds:
        end = min(seconds, start + random.expovariate(1 / (burst_s if bursting else quiet_s)))
        piece = Stretch(1 / (rate * burst if bursting else rate), start, end)
        yield from _pieces([piece], home, lengths, random)
        start, bursting = end, not bursting


def _cut(tokens: float, most: int) -> int:
    return max(1, min(most, round(tokens)))


def _table(text: str) -> list[list[str]]:
    return [row for row in csv.reader(StringIO(text)) if row]
