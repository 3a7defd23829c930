"""How scales are made of measured distances: what honest providers did at their worst, and what cheats do.

Pure. It knows neither engines nor where the distances come from.
"""

from collections.abc import Mapping, Sequence
from math import ceil, exp, floor, lgamma, log, sqrt
from statistics import fmean
from typing import Final

from tallystick.protocol.evidence import MILLION, Scale
from tallystick.protocol.finding import Check

FALSE_STRIKES: Final = 1e-7
"""An answer: of honest providers', all checks and kinds of cheat together."""
CONFIDENCE: Final = 1e-3
"""The chance that a range of distances is commoner among honest providers than its bound."""
EDGES: Final[Mapping[Check, tuple[int, ...]]] = {
    Check.RANK: (0, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000),
    Check.REPLAY: (0,),
    Check.LOGPROB: (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 1_000_000),
}
"""Millionths of a nat."""
CUT: Final = "cut"
"""The kind of cheat that is honest but for one token in so many, which is anywhere in the upper ranges: an
answer that is cut off and closed."""
CUT_PART: Final = 1 / 40
_HONEST_PART: Final = 0.1
"""Of what a cheat does: no token speaks for more than ten times honesty."""

Answers = Sequence[Sequence[int]]
"""Distances, by answer."""


def scale(check: Check, honest: Answers, cheats: Mapping[str, Answers], *, checks: int) -> Scale:
    """From honest answers, and from each kind of cheat's. `checks`: how many scales share the false
    strikes."""
    edges = EDGES[check]
    bounds = honest_bounds(honest, edges)
    kinds = {kind: _mixed(_parts(answers, edges), bounds) for kind, answers in cheats.items()}
    kinds[CUT] = _cut(bounds)
    weights = {kind: _weights(parts, bounds) for kind, parts in sorted(kinds.items())}
    return Scale(
        check=check,
        edges=edges,
        weights=weights,
        strike=ceil(MILLION * log(len(weights) * checks / FALSE_STRIKES)),
    )


def honest_bounds(answers: Answers, edges: Sequence[int]) -> list[float]:
    """By range, how often honest providers come there at most: upper bounds of the tails, taken apart."""
    tokens = sum(map(len, answers))
    tails = [1.0]
    for edge in edges:
        beyond = [sum(distance > edge for distance in answer) for answer in answers]
        tails.append(min(tails[-1], _upper(beyond, tokens)))
    return [tail - lower for tail, lower in zip(tails, [*tails[1:], 0.0], strict=True)]


def _upper(counts: Sequence[int], tokens: int) -> float:
    """A share's upper bound. What comes in clusters counts as fewer observations."""
    mean = fmean(counts)
    variance = fmean((count - mean) ** 2 for count in counts)
    together = max(1.0, variance / mean) if mean else 1.0
    return min(1.0, poisson_upper(ceil(sum(counts) / together)) * together / tokens)


def poisson_upper(count: int) -> float:
    """The mean at which so few are seen with a chance of `CONFIDENCE`."""
    low, high = float(count), count + 10 * sqrt(count + 10) + 20
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(count, middle) > CONFIDENCE else (low, middle)
    return high


def _at_most(count: int, mean: float) -> float:
    """The chance of no more than `count`, in a Poisson distribution."""
    return sum(exp(i * log(mean) - mean - lgamma(i + 1)) for i in range(count + 1)) if mean else 1.0


def _parts(answers: Answers, edges: Sequence[int]) -> list[float]:
    found = [0.5] * (len(edges) + 1)
    for answer in answers:
        for distance in answer:
            found[sum(distance > edge for edge in edges)] += 1
    total = sum(found)
    return [count / total for count in found]


def _mixed(parts: Sequence[float], bounds: Sequence[float]) -> list[float]:
    return [
        (1 - _HONEST_PART) * part + _HONEST_PART * bound for part, bound in zip(parts, bounds, strict=True)
    ]


def _cut(bounds: Sequence[float]) -> list[float]:
    upper = max(1, len(bounds) // 2)
    return [
        (1 - CUT_PART) * bound + (CUT_PART / upper if i >= len(bounds) - upper else 0.0)
        for i, bound in enumerate(bounds)
    ]


def _weights(parts: Sequence[float], bounds: Sequence[float]) -> tuple[int, ...]:
    """Logarithms of the ratios, never falling towards larger distances: where one would, its range is taken
    together with the next. So the mean of the ratios is 1 where honest providers come as far as the bounds,
    and less where they do so less often."""
    pools: list[tuple[float, float, int]] = []
    for part, bound in zip(parts, bounds, strict=True):
        pool = part, bound, 1
        while pools and pools[-1][0] * pool[1] >= pool[0] * pools[-1][1]:
            part_before, bound_before, count = pools.pop()
            pool = part_before + pool[0], bound_before + pool[1], count + pool[2]
        pools.append(pool)
    return tuple(floor(MILLION * log(part / bound)) for part, bound, count in pools for _ in range(count))


def scale_to_json(scale: Scale) -> dict[str, object]:
    return {
        "edges": list(scale.edges),
        "weights": {kind: list(row) for kind, row in scale.weights.items()},
        "strike": scale.strike,
    }
