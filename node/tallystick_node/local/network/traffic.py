"""Who asks what of which node, and when: drawn from a seed, so that each arm of a comparison gets the same.

Sizes are those of real conversations (see sizes.csv). Pure but for reading that file.
"""

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SIZES: Final = Path(__file__).with_name("sizes.csv")
SMALLEST_OUTPUT: Final = 2
"""A pace needs two tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of one request, in tokens."""

    input: int
    output: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One user's request."""

    number: int
    at_s: float
    """After the start."""
    home: int
    """The node that the user asks, by its place in the fleet."""
    size: Size


def read_sizes(*, longest: int) -> Sequence[Size]:
    """Of real conversations, those that fit into a context of `longest` tokens."""
    with _SIZES.open() as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        sizes = [
            Size(input=int(row["input"]), output=max(SMALLEST_OUTPUT, int(row["output"]))) for row in rows
        ]
    return [size for size in sizes if size.input + size.output <= longest]


def arrivals(
    sizes: Sequence[Size],
    *,
    seed: int,
    rate: float,
    seconds: float,
    homes: int,
    hot: Sequence[int] = (),
    hot_share: float = 0.5,
) -> list[Arrival]:
    """Poisson, `rate` a second in all. `hot` nodes take turns, equally long, at having `hot_share` of all
    users; the others share the rest equally."""
    rng = random.Random(seed)
    found: list[Arrival] = []
    at = rng.expovariate(rate)
    while at < seconds:
        home = rng.randrange(homes)
        if hot and rng.random() < hot_share:
            home = hot[int(at / seconds * len(hot))]
        found.append(Arrival(number=len(found), at_s=at, home=home, size=rng.choice(sizes)))
        at += rng.expovariate(rate)
    return found
