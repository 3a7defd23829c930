"""The simulated network: how long a message takes from one node to another, and whether it gets there."""

from dataclasses import dataclass
from random import Random
from typing import Final

_GOLDEN: Final = 0x9E3779B97F4A7C15
_CONNECTS_AGAIN_S: Final = 1.0
_SENDS_AGAIN_S: Final = 0.2
"""Before TCP sends again what was lost; twice as long each time after that: RFC 6298, and Linux' least."""
_MASK: Final = (1 << 64) - 1


def pair_chance(seed: int, one: int, other: int) -> float:
    """0 to 1, evenly: a number of its own for each pair, which needs no table of all pairs."""
    mixed = (seed * _GOLDEN + (one << 32 | other) + 1) & _MASK
    mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & _MASK
    return (mixed ^ mixed >> 31) / (1 << 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Each pair of nodes is so far apart as chance has it, always; a node is not apart from itself."""

    nearest_s: float = 0.005
    farthest_s: float = 0.075
    """One way."""
    loss: float = 0.0
    """Share of messages that do not arrive, and are sent again after a while, as TCP does."""

    def way_s(self, one: int, other: int, seed: int) -> float:
        """The same in both directions."""
        if one == other:
            return 0.0
        pair = (one, other) if one < other else (other, one)
        return self.nearest_s + (self.farthest_s - self.nearest_s) * pair_chance(seed, *pair)

    def connects_late_s(self, random: Random) -> float:
        """By so much a first message comes later than its way takes: whoever sends it does not know yet how
        long that is."""
        return _late_s(self.loss, random, _CONNECTS_AGAIN_S)

    def late_s(self, random: Random) -> float:
        """The same on a connection that is there."""
        return _late_s(self.loss, random, _SENDS_AGAIN_S)


def _late_s(loss: float, random: Random, again_s: float) -> float:
    late = 0.0
    if loss:
        while random.random() < loss:
            late, again_s = late + again_s, 2 * again_s
    return late
