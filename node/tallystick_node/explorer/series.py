"""Hours as charts want them: without gaps, by the hour or by the day. Pure: rows in, columns out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Final

HOUR: Final = 3_600
DAY: Final = 86_400
BY_DAY_FROM: Final = 15
"""Days from which on a chart has a point a day rather than one an hour."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What came in an hour or a day that begins at `at`; `locked` and `staked` are what was at its end."""

    at: int
    transactions: int = 0
    settlements: int = 0
    settle_gas: int = 0
    opened: int = 0
    closed: int = 0
    settled: int = 0
    deposited: int = 0
    locked: int = 0
    staked: int = 0
    offers: int = 0

    @property
    def gas_per_settlement(self) -> int:
        """Rounded up; zero where nothing was settled."""
        return -(-self.settle_gas // self.settlements) if self.settlements else 0


LEVELS: Final = ("locked", "staked")
"""What goes on until it changes; everything else is counted from zero in every hour."""
_FLOWS: Final = tuple(field.name for field in fields(Tally) if field.name not in ("at", *LEVELS))


def step_of(days: int) -> int:
    """Seconds between two points of a chart of so many days."""
    return DAY if days >= BY_DAY_FROM else HOUR


def filled(
    rows: Iterable[Tally], *, before: Tally | None, start: int, end: int, step: int
) -> Sequence[Tally]:
    """One tally a step from `start` up to the one that `end` falls in. `rows` are hours, oldest first;
    `before` is the last one before `start`, whose levels go on."""
    start -= start % step
    by_step: dict[int, list[Tally]] = {}
    for row in rows:
        by_step.setdefault(row.at - row.at % step, []).append(row)
    level = {name: getattr(before, name) if before else 0 for name in LEVELS}
    found = []
    for at in range(start, end + 1, step):
        inside = by_step.get(at, [])
        if inside:
            level = {name: getattr(inside[-1], name) for name in LEVELS}
        flows = {name: sum(getattr(row, name) for row in inside) for name in _FLOWS}
        found.append(Tally(at=at, **flows, **level))
    return found
