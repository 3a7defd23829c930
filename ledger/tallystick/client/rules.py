"""The rules by which a payer may choose: each orders candidates, and is a `Policy`.

`quoted` is the default: price, predicted time and what a request costs others, weighed against each other.
The others order by one thing alone. All are pure: chance comes from the request's seed, and no order of
candidates, and nothing that a provider may pick freely, changes what they say.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from tallystick.client.choose import (
    Candidate,
    Choice,
    Crowd,
    Drawing,
    Ordering,
    Policy,
    Wanted,
    drawn,
    expected_cost,
)
from tallystick.client.steering import Steering
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.speed import Load, Pace, slowdown_s
from tallystick.protocol.units import Atoms

# -------------------------------------------------------------------------------------------- one thing alone


def cheapest(candidates: Sequence[Candidate], wanted: Wanted) -> Sequence[Choice]:
    """By expected cost for this request; equal ones in an order that the seed decides."""
    ordered = sorted(candidates, key=lambda c: (expected_cost(c.posted, wanted), _ticket(c, wanted)))
    return [Choice(posted=candidate.posted) for candidate in ordered]


@dataclass(frozen=True, slots=True)
class StakeWeighted(Drawing):
    """A few, drawn by stake and without replacement: the rule of the WWW.Serve paper. It expects nothing."""

    drawn: int = 3

    def __call__(self, candidates: Sequence[Candidate], wanted: Wanted) -> Sequence[Choice]:
        some = islice(drawn(candidates, 1, wanted.seed), self.drawn)
        return [Choice(posted=candidate.posted) for candidate in some]


stake_weighted: Final[Policy] = StakeWeighted()


def fastest(candidates: Sequence[Candidate], wanted: Wanted) -> Sequence[Choice]:
    """By the predicted time of the whole answer; those of whom nothing is known come last, by price."""
    return _by(lambda expected: expected.total_s(wanted.expected_output), candidates, wanted)


def soonest(candidates: Sequence[Candidate], wanted: Wanted) -> Sequence[Choice]:
    """As `fastest`, by the time of the first token."""
    return _by(lambda expected: expected.first_s, candidates, wanted)


def most_fluent(candidates: Sequence[Candidate], wanted: Wanted) -> Sequence[Choice]:
    """As `fastest`, by the time between tokens."""
    return _by(lambda expected: expected.token_s, candidates, wanted)


def _by(key: Callable[[Pace], float], candidates: Sequence[Candidate], wanted: Wanted) -> Sequence[Choice]:
    known: list[tuple[float, bytes, Choice]] = []
    unknown: list[Candidate] = []
    for candidate in candidates:
        expected = candidate.foreseen(wanted)
        if expected is None:
            unknown.append(candidate)
            continue
        choice = Choice(posted=candidate.posted, expected=expected)
        known.append((candidate.seen.ratio * key(expected), _ticket(candidate, wanted), choice))
    known.sort(key=lambda item: item[:2])
    return [*(choice for *_, choice in known), *cheapest(unknown, wanted)]


# --------------------------------------------------------------------------------------------- the default


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted(Drawing):
    """Weighs price, time and what a request takes from others: "quote, jitter, bounce".

    Of many candidates a few are drawn, by bond slot, so that a provider gains nothing by being many. Each
    gets a score in atoms: what the answer costs, and for its time, as the provider's record has it, and for
    the time that it takes from others there, what that time is worth; and all that times a number that
    chance picks for each, so that payers with the same news do not all run to the same place. Where nothing
    is known of anybody it is `cheapest`.
    """

    drawn: int = 5
    """Candidates that are compared."""
    all_of: int = 8
    """So many or fewer are all compared."""
    further: int = 16
    """Those behind them, as they were drawn, for where all of them refuse."""
    toll: float = 0.4
    """Share of the time taken from others that weighs as one's own."""
    jitter: float = 0.3
    """Scores are multiplied by 1 ± this."""
    second: Atoms | None = None
    """What a second is worth. None: so much that time and price weigh alike: of the median of the candidates'
    times, and of the median of their prices, the double is as bad."""

    def __call__(self, candidates: Sequence[Candidate], wanted: Wanted) -> Sequence[Choice]:
        drawing = drawn(candidates, max(1, wanted.minimum_stake), wanted.seed)
        ready: list[Candidate] = []
        full: list[Candidate] = []
        for candidate in drawing:
            (full if _full(candidate) else ready).append(candidate)
            if len(ready) >= self.drawn and len(ready) + len(full) > self.all_of:
                break
        looked_at = ready + full
        if not any(item.speaks for item in looked_at) and not any(item.speaks for item in candidates):
            return cheapest(candidates, wanted)
        compared = looked_at if len(looked_at) <= self.all_of else looked_at[: self.drawn]
        ranked = self._ranked(compared, wanted)
        further = islice(self._behind(ready, full, drawing), len(compared), len(compared) + self.further)
        behind = (Choice(posted=c.posted, expected=c.foreseen(wanted)) for c in further)
        return Ordering(chain(ranked, behind)) if isinstance(candidates, Crowd) else [*ranked, *behind]

    @staticmethod
    def _behind(
        ready: Sequence[Candidate], full: list[Candidate], drawing: Iterator[Candidate]
    ) -> Iterator[Candidate]:
        """As they were drawn, but those that take nothing more after all others."""
        yield from ready
        for candidate in drawing:
            if _full(candidate):
                full.append(candidate)
            else:
                yield candidate
        yield from full

    def _ranked(self, compared: Sequence[Candidate], wanted: Wanted) -> Sequence[Choice]:
        loads = [candidate.load for candidate in compared]
        expected = [item.foreseen_under(load, wanted) for item, load in zip(compared, loads, strict=True)]
        tickets = [_ticket(candidate, wanted) for candidate in compared]
        scores = self._scores(compared, loads, expected, tickets, wanted)
        ranked = sorted(zip(map(_full, compared), scores, tickets, range(len(compared)), strict=True))
        return [Choice(posted=compared[i].posted, expected=expected[i]) for *_, i in ranked]

    def _scores(
        self,
        candidates: Sequence[Candidate],
        loads: Sequence[Load | None],
        expected: Sequence[Pace | None],
        tickets: Sequence[bytes],
        wanted: Wanted,
    ) -> list[float]:
        """Of whom nothing is known is taken to be as slow as the slowest that speaks, by its own word: a bad
        record is nobody else's."""
        known = [
            None if pace is None else self._times_s(candidate, load, pace, wanted)
            for candidate, load, pace in zip(candidates, loads, expected, strict=True)
        ]
        slowest = max((said for said, _ in filter(None, known)), default=1.0)
        times = [slowest if pair is None else pair[1] for pair in known]
        costs = [expected_cost(candidate.posted, wanted) for candidate in candidates]
        second: float
        if self.second is not None:
            second = self.second
        else:
            # Nobody gets ahead by a higher price: only the median's own price raises what a second is worth,
            # and whoever loses more by that than the median itself stands behind it already.
            second = max(1, _median(costs)) / max(_median(times), 1e-9)
        return [
            (time * second + cost) * (1 + self.jitter * (2 * _chance(ticket, 8) - 1))
            for time, cost, ticket in zip(times, costs, tickets, strict=True)
        ]

    def _times_s(
        self, candidate: Candidate, load: Load | None, expected: Pace, wanted: Wanted
    ) -> tuple[float, float]:
        """(by its own word, or by its record where that is better; by its record), with the toll."""
        own, ratio = expected.total_s(wanted.expected_output), candidate.seen.ratio
        status = candidate.seen.status
        taken = 0.0
        if status is not None and load is not None:
            taken = self.toll * slowdown_s(
                status.speed,
                load,
                input_tokens=wanted.input_tokens,
                output_tokens=wanted.expected_output,
            )
        return (ratio if ratio < 1.0 else 1.0) * own + taken, ratio * own + taken


quoted: Final[Policy] = Quoted()

RULES: Final[Mapping[str, Policy]] = {
    "quoted": quoted,
    "cheapest": cheapest,
    "fastest": fastest,
    "stake-weighted": stake_weighted,
}
"""By the names that configurations use."""


def steered(policy: Policy, steering: Steering) -> Policy:
    """What the caller would have candidates sorted by; the payer's own policy where it does not say."""
    match steering.sort:
        case "price":
            return cheapest
        case "throughput":
            return most_fluent
        case "latency":
            return soonest
        case None:
            return policy


# -------------------------------------------------------------------------------------------- what they share


def _full(candidate: Candidate) -> bool:
    """It said that it would take nothing more; a quote is newer than that."""
    status = candidate.seen.status
    return candidate.quoted is None and status is not None and status.room <= candidate.pending


def _chance(ticket: bytes, at: int) -> float:
    """Over zero, up to one, evenly; another one for each `at` of 0, 8, 16."""
    return (1 + int.from_bytes(ticket[at : at + 8])) / (1 << 64)


def _ticket(candidate: Candidate, wanted: Wanted) -> bytes:
    """32 bytes that nobody can know before the request: the seed is the payer's secret."""
    return keccak(wanted.seed.to_bytes(8, "big") + candidate.posted.offer_hash)


def _median(values: Sequence[float]) -> float:
    """The middle one; of an even number, the upper of the two. One of them, so that it is somebody's own."""
    return sorted(values)[len(values) // 2]
