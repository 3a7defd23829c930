"""An engine's constants, of what was seen of it: the answers that ended last.

Pure. It is for engines of which the operator says nothing, and it is rough: what a step takes is a line over
the sequences in it, and prompts take their time beside it. See docs/network.md, section Quotes.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tallystick.protocol.speed import Speed
from tallystick.protocol.units import Address, Milliseconds, Tokens

ENOUGH: Final = 3
"""Answers below which nothing is said."""
KEPT: Final = 64
"""Answers that are looked at."""
SHARE: Final = 16
"""Of them, of one reader at most: one that reads slowly makes no engine slow."""
_GROWTH: Final = 0.03
"""Of a step's time for each further sequence, as long as no answers of unequal company were seen."""
_PS: Final = 1e12
_LONGEST_S: Final = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A streamed answer."""

    reader: Address | str
    """A payer's account, or the name of an own user."""
    input_tokens: int
    first_s: float
    """From its request to its first token."""
    token_s: float
    """Between the tokens after that."""
    company: float
    """Sequences that ran beside it, itself included, in the mean."""
    company_before: int
    """When it came."""

    @classmethod
    def of(
        cls,
        reader: Address | str,
        *,
        input_tokens: int,
        output_tokens: int,
        choices: int,
        came_at: Milliseconds,
        first_at: Milliseconds,
        now: Milliseconds,
        company_before: int,
        company_after: int,
    ) -> "Ended | None":
        """One that ends now; None: it has no time between tokens. `company_…`: itself included."""
        more = output_tokens // choices - 1
        if more < 1 or not input_tokens:
            return None
        return cls(
            reader=reader,
            input_tokens=input_tokens,
            first_s=max(0, first_at - came_at) / 1000,
            token_s=max(0, now - first_at) / 1000 / more,
            company=(company_before + company_after) / 2,
            company_before=company_before,
        )


class History:
    """The answers that ended last, no reader having more than its share of them."""

    def __init__(self) -> None:
        self._answers: dict[int, Ended] = {}
        """In the order in which they ended."""
        self._of: dict[Address | str, deque[int]] = {}
        self._next = 0

    def add(self, ended: Ended) -> None:
        own = self._of.setdefault(ended.reader, deque())
        if len(own) >= SHARE:
            del self._answers[own.popleft()]
        own.append(self._next)
        self._answers[self._next] = ended
        self._next += 1
        if len(self._answers) > KEPT:
            self._drop_oldest()

    def __iter__(self) -> Iterator[Ended]:
        return iter(self._answers.values())

    def _drop_oldest(self) -> None:
        number = next(iter(self._answers))
        reader = self._answers.pop(number).reader
        own = self._of[reader]
        own.popleft()
        if not own:
            del self._of[reader]


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
        sequence=_picoseconds(growth - computing),
        weights=_picoseconds(alone),
        token=_picoseconds(token),
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
    return max(0.0, mean_y - growth * mean_x), growth


def _per_token(answers: Sequence[Ended], alone: float, growth: float) -> float:
    """Of those that found the fewest others when they came, so that hardly anything was queued before
    them."""
    least = sorted(answers, key=lambda item: item.company_before)[: max(ENOUGH, len(answers) // 4)]
    computing: float = sum(
        max(0.0, max(0.0, item.first_s - growth * item.company_before) ** 1.5 - alone**1.5) ** (2 / 3)
        for item in least
    )
    return computing / max(1, sum(item.input_tokens for item in least))


def _picoseconds(seconds: float) -> int:
    """A clock that jumped makes no number that a message cannot hold."""
    return int(min(max(0.0, seconds), _LONGEST_S) * _PS)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
