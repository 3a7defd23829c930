"""The highest rate at which a market keeps its objective: found by bisection, with as few runs as it takes.

It knows no market: what is asked is a function of the rate, and dear.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isnan, sqrt
from typing import Final

_FIRST_STEP: Final = 1.1
"""Factor from the first rate to the next; each further one is the square of the one before."""


@dataclass
class Curve:
    """Attainment over rate, as far as it was asked for."""

    attained: Callable[[float], float]
    """0 to 1, at so many requests a second. The same answer for the same rate."""
    known: dict[float, float] = field(default_factory=dict)

    def at(self, rate: float) -> float:
        if rate not in self.known:
            found = self.known[rate] = self.attained(rate)
            assert not isnan(found), f"nothing was counted at {rate}"  # It would be looked for for ever.
        return self.known[rate]

    def capacity(self, least: float, *, guess: float, low: float, high: float, within: float = 0.04) -> float:
        """The rate up to which at least that part is served well. From what is known, or from `guess`, in
        ever larger steps until it lies between two rates; then by halves, until those are `within` of each
        other: between them the curve is taken to be straight. Beyond `low` and `high` nothing is looked for:
        zero where `low` is too much already, `high` where that is not."""
        good, bad = self._between(least, guess, low, high)
        if good is None or bad is None:
            return 0.0 if good is None else high
        while bad > good * (1 + within):
            middle = sqrt(good * bad)
            if self.at(middle) >= least:
                good = middle
            else:
                bad = middle
        above, below = self.at(good), self.at(bad)
        return good + (bad - good) * (above - least) / (above - below)

    def _between(
        self, least: float, guess: float, low: float, high: float
    ) -> tuple[float | None, float | None]:
        """(the highest rate below which none is known to be too much, the lowest that is); None: there is
        none within the bounds."""
        rate, factor = min(high, max(low, guess)), _FIRST_STEP
        while True:
            bad = min((known for known, part in self.known.items() if part < least), default=None)
            good = max(
                (
                    known
                    for known, part in self.known.items()
                    if part >= least and (bad is None or known < bad)
                ),
                default=None,
            )
            if good is not None and bad is not None:
                return good, bad
            if good is None and bad is None:
                self.at(rate)
                continue
            if (good is None and bad == low) or (bad is None and good == high):
                return good, bad
            rate = min(high, good * factor) if good is not None else max(low, (bad or low) / factor)
            factor *= factor
            self.at(rate)
