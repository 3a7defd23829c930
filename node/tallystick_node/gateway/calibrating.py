"""An engine's constants, of what was seen of it: the answers that ended last.

Pure. It is for engines of which the operator says nothing, and it is rough: what a step takes is a line over
the sequences in it, and prompts take their time beside it. See docs/network.md, section Quotes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.protocol.speed import Speed
from tallystick.protocol.units import Address, Tokens

ENOUGH: Final = 3
"""Answers below which nothing is said."""
KEPT: Final = 64
"""Answers that are looked at."""
SHARE: Final = 16
"""Of them, of one account at most: one payer that reads slowly makes no engine slow."""
_GROWTH: Final = 0.03
"""Of a step's time for each further sequence, as long as no answers of unequal company were seen."""
_PS: Final = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A streamed answer."""

    account: Address
    input_tokens: int
    first_s: float
    """From its request to its first token."""
    token_s: float
    """Between the tokens after that."""
    company: float
    """Sequences that ran beside it, itself included, in the mean."""
    company_before: int
    """When it came."""


def kept(before: Sequence[Ended], ended: Ended) -> tuple[Ended, ...]:
    """The answers to look at, now that one more has ended."""
    same = [item for item in before if item.account == ended.account]
    gone = same[0] if len(same) >= SHARE else before[0] if len(before) >= KEPT else None
    return (*(item for item in before if item is not gone), ended)


def fitted(answers: Sequence[Ended]) -> Speed | None:
    """None: too few were seen."""
    if len(answers) < ENOUGH:
        return None
    alone, growth = _line([(item.company, item.token_s) for item in answers])
    token = _per_token(answers, alone, growth)
    mean = _mean([item.company for item in answers])
    # What the formula adds for computing the mean batch is a part of the line's growth.
    computing = ((alone**1.5 + (token * mean) ** 1.5) ** (2 / 3) - alone) / mean
    return Speed(
        fixed=0,
        sequence=int(max(0.0, growth - computing) * _PS),
        weights=int(alone * _PS),
        token=int(token * _PS),
        context=0,
        capacity=Tokens(0),
        chunk=Tokens(0),
    )


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(y at x = 0, growth), neither negative: least squares, drawn towards the usual growth while the points
    lie close together."""
    mean_x, mean_y = _mean([x for x, _ in points]), _mean([y for _, y in points])
    together = _mean([(x - mean_x) * (y - mean_y) for x, y in points])
    spread = _mean([(x - mean_x) ** 2 for x, _ in points])
    growth = (together + _GROWTH * mean_y) / (spread + 1)
    growth = min(max(0.0, growth), mean_y / mean_x)
    return mean_y - growth * mean_x, growth


def _per_token(answers: Sequence[Ended], alone: float, growth: float) -> float:
    """Of those that found the fewest others when they came, so that hardly anything was queued before
    them."""
    least = sorted(answers, key=lambda item: item.company_before)[: max(ENOUGH, len(answers) // 4)]
    computing: float = sum(
        max(0.0, max(0.0, item.first_s - growth * item.company_before) ** 1.5 - alone**1.5) ** (2 / 3)
        for item in least
    )
    return computing / max(1, sum(item.input_tokens for item in least))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
