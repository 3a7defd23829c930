"""What many payers found of one provider's promises, as one figure that none of them moves alone."""

from collections import defaultdict
from collections.abc import Iterable
from math import exp, log
from typing import Final

from tallystick.protocol.status import Rating
from tallystick.protocol.units import Address

LOWEST: Final = 0.2
HIGHEST: Final = 20.0
"""No ratio of observed to quoted time counts for less, or for more."""
TYPICAL_SPREAD: Final = 0.35
"""Standard deviation of the logarithm of observed over quoted time, where too little is known."""
_MILLION: Final = 1_000_000


def clipped(ratio: float) -> float:
    return LOWEST if ratio < LOWEST else HIGHEST if ratio > HIGHEST else ratio


def agreed(ratings: Iterable[Rating]) -> float:
    """Observed over quoted time as payers find it: the median of one vote a payer and one for 1.0.

    Channels are cheap, so all of a payer's are one vote. What few answers show counts for less. Where the
    number of votes is even, that of the middle two which is nearer to 1.0 holds: it takes two payers to say
    anything.
    """
    seen: defaultdict[Address, list[tuple[float, int]]] = defaultdict(list)
    for rating in ratings:
        if rating.count > 0:
            seen[rating.payer].append((log(clipped(rating.ratio / _MILLION)), rating.count))
    votes = sorted([0.0, *map(_vote, seen.values())])
    middle = votes[(len(votes) - 1) // 2], votes[len(votes) // 2]
    return exp(min(middle, key=abs))


def _vote(found: Iterable[tuple[float, int]]) -> float:
    """The mean over a payer's answers, as if one more had kept its promise."""
    found = list(found)
    return sum(value * count for value, count in found) / (1 + sum(count for _, count in found))
