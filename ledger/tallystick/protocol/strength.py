"""How good providers are, from the duels that they won and lost: Bradley–Terry, recomputable by anybody.

The chance that one is found better than another is s₁ / (s₁ + s₂), s being e to the power of its strength.
The strengths are the likeliest ones given all duels and ten drawn duels of each provider with an average one,
so that a few duels say little, whoever picked them, and a provider that only ever won has a strength too. It
knows no chain: who reads the decided duels from the events gets the same figures, in whatever order they
come and on any machine: sums are rounded once, and the logarithm, which is the platform's, to millionths.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import exp, fsum, log
from typing import Final

from tallystick.protocol.duel import Vote
from tallystick.protocol.units import Address

_PRIOR: Final = 10.0
"""Duels that each is taken to have drawn with an average provider. A challenger has both answers before it
opens a duel, and may open those alone that its rival lost: two of these put nobody at the bottom."""
_DIGITS: Final = 6
_CLOSE: Final = 1e-10
_ROUNDS: Final = 10_000
"""Far more than it ever takes: a bound, not a choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One duel, as its event tells it."""

    first: Address
    second: Address
    verdict: Vote
    """`FIRST`, `SECOND`, or `TIE`, which counts half for each."""


def strengths(duels: Iterable[Decided]) -> Mapping[Address, float]:
    """Of each provider that ever duelled, to a millionth; zero is average, and 1.1 more wins three of
    four."""
    won, met = _counted(duels)
    providers = sorted(met)
    scores = dict.fromkeys(providers, 1.0)
    for _ in range(_ROUNDS):
        largest = 0.0
        for provider in providers:
            own = scores[provider]
            parts = [count / (own + scores[other]) for other, count in met[provider]]
            weight = fsum([_PRIOR / (own + 1.0), *parts])
            scores[provider] = better = (won[provider] + _PRIOR / 2) / weight
            largest = max(largest, abs(better / own - 1.0))
        if largest < _CLOSE:
            break
    return {provider: round(log(score), _DIGITS) for provider, score in scores.items()}


def chance(strength: float, other: float) -> float:
    """That the first is found better; ties count half."""
    return 1.0 / (1.0 + exp(other - strength))


def _counted(
    duels: Iterable[Decided],
) -> tuple[Mapping[Address, float], Mapping[Address, list[tuple[Address, int]]]]:
    """Duels won, and with whom each duelled how often; sums of halves, so exact in any order."""
    won: defaultdict[Address, float] = defaultdict(float)
    pairs: Counter[tuple[Address, Address]] = Counter()
    for duel in duels:
        assert duel.first != duel.second
        assert duel.verdict in (Vote.FIRST, Vote.SECOND, Vote.TIE)
        half = 0.5 if duel.verdict is Vote.TIE else float(duel.verdict is Vote.FIRST)
        won[duel.first] += half
        won[duel.second] += 1.0 - half
        pairs[min(duel.first, duel.second), max(duel.first, duel.second)] += 1
    met: defaultdict[Address, list[tuple[Address, int]]] = defaultdict(list)
    for (one, other), count in sorted(pairs.items()):
        met[one].append((other, count))
        met[other].append((one, count))
    return won, met
