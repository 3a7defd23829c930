"""How a model's price changed, folded from what was posted and withdrawn. Pure: no clock, no database."""

import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median_low


@dataclass(frozen=True, slots=True)
class Posting:
    """One version of an offer."""

    at: int
    """Unix seconds."""
    provider: bytes
    sequence: int
    input_price: int
    output_price: int
    valid_until: int


@dataclass(frozen=True, slots=True)
class Withdrawal:
    at: int
    provider: bytes
    minimum_sequence: int

    @classmethod
    def read(cls, at: int, provider: bytes, arguments: str) -> "Withdrawal":
        """From the event's arguments."""
        return cls(at, provider, int(json.loads(arguments)["minimumSequence"]))


@dataclass(frozen=True, slots=True)
class Step:
    """From here on, until the next one. Nothing is offered where `offers` is zero."""

    at: int
    offers: int
    lowest: int
    """Of the output prices, as is the other."""
    median: int


def steps(postings: Sequence[Posting], withdrawals: Sequence[Withdrawal], now: int) -> Sequence[Step]:
    """Where the lowest or the lower middle output price changed, oldest first, as what is given is."""
    found: list[Step] = []
    for at, prices in _books(postings, withdrawals, now):
        step = Step(at, len(prices), min(prices, default=0), median_low(prices) if prices else 0)
        if found and found[-1].at == at:
            found[-1] = step
        elif not found or (found[-1].lowest, found[-1].median) != (step.lowest, step.median):
            found.append(step)
    return found


def _books(
    postings: Sequence[Posting], withdrawals: Sequence[Withdrawal], now: int
) -> Iterator[tuple[int, list[int]]]:
    """The output prices that held after each change."""
    changes: list[Posting | Withdrawal] = [*postings, *withdrawals]
    changes.sort(key=lambda change: change.at)
    newest: dict[bytes, Posting] = {}
    ends: list[int] = []
    for change in changes:
        at = change.at
        while ends and ends[0] <= at:
            yield _book(newest, heapq.heappop(ends))
        match change:
            case Posting():
                newest[change.provider] = change
                heapq.heappush(ends, change.valid_until)
            case Withdrawal():
                held = newest.get(change.provider)
                if held is not None and held.sequence < change.minimum_sequence:
                    del newest[change.provider]
        yield _book(newest, at)
    while ends and ends[0] <= now:
        yield _book(newest, heapq.heappop(ends))


def _book(newest: dict[bytes, Posting], at: int) -> tuple[int, list[int]]:
    return at, [posting.output_price for posting in newest.values() if posting.valid_until > at]
