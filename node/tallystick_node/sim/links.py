"""The simulated network: how long a message takes from one node to another, and whether it gets there."""

from dataclasses import dataclass
from random import Random
from typing import Final

_GOLDEN: Final = 0x9E3779B97F4A7C15
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
    """Share of messages that do not arrive."""

    def way_s(self, one: int, other: int, seed: int) -> float:
        """The same in both directions."""
        if one == other:
            return 0.0
        pair = (one, other) if one < other else (other, one)
        return self.nearest_s + (self.farthest_s - self.nearest_s) * pair_chance(seed, *pair)

    def loses(self, random: Random) -> bool:
        return self.loss > 0 and random.random() < self.loss
