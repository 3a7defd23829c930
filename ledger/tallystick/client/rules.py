"""The rules by which a payer may choose: each orders candidates, and is a `Rule`.

`quoted` is the default: price, predicted time and what a request costs others, weighed against each other.
The others order by one thing alone. All are pure: chance comes from the request's seed, and no order of
candidates, and nothing that a provider may pick freely, changes what they say.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from math import exp, log
from typing import Final

from tallystick.client.choose import (
    Candidate,
    Choice,
    Crowd,
    Drawing,
    Ordering,
    Rule,
    Wanted,
    drawn,
    expected_cost,
    tossed,
)
from tallystick.client.steering import Steering
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.speed import Load, Pace, slowdown_s
from tallystick.protocol.units import Atoms, Hash32

_SOON_S: Final = 1e-9
"""No time, and no score, is taken to be less."""

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


stake_weighted: Final[Rule] = StakeWeighted()


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


def score(time_s: float, cost: float, usual: float) -> float:
    """Of the default, the lower the better: the double of the time is as bad as the double of the price, and
    no price is better than half of the usual one."""
    return time_s * max(cost, max(1, usual) / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted(Drawing):
    """Weighs price, time and what a request takes from others, and leaves the rest to chance: "quote, draw,
    bounce".

    Bond slots are drawn; the candidates behind them are compared. Each gets a score: what the answer costs,
    times how long it is to take, as the provider's record has it, and what it takes from others there. One is
    drawn, with chances of its drawn slots / score ** keenness. So payers with the same news do not all run to
    the same place, and a provider gains nothing by being many: its slots add up. Where nothing is known of
    anybody it is `cheapest`.
    """

    slots: int = 16
    """Slots that are drawn, with replacement."""
    further: int = 16
    """Candidates behind those compared, by slot, for where all of them refuse."""
    keenness: float = 6.0
    """A score that is lower by one part in a hundred is taken so many parts in a hundred more often. News are
    old, and others read them too: whoever always takes the best meets all others there."""
    toll: float = 0.4
    """Share of the time taken from others that weighs as one's own."""
    second: Atoms | None = None
    """What a second is worth, where the payer says so: then times and prices add up. None: see `score`."""

    def __call__(self, candidates: Sequence[Candidate], wanted: Wanted) -> Sequence[Choice]:
        slot = max(1, wanted.minimum_stake)
        compared = self._compared(candidates, slot, wanted)
        if not any(item.speaks for item, _ in compared) and not any(item.speaks for item in candidates):
            return cheapest(candidates, wanted)
        ranked = self._ranked(compared, wanted)
        behind = self._behind({item.posted.offer_hash for item, _ in compared}, candidates, slot, wanted)
        return Ordering(chain(ranked, behind)) if isinstance(candidates, Crowd) else [*ranked, *behind]

    def _compared(
        self, candidates: Sequence[Candidate], slot: int, wanted: Wanted
    ) -> Sequence[tuple[Candidate, int]]:
        """(candidate, drawn slots). Those that take nothing more only where all that are drawn are such.
        Where few of those that are there will do, all slots of those that will are drawn."""
        ready: dict[Hash32, tuple[Candidate, int]] = {}
        full: dict[Hash32, tuple[Candidate, int]] = {}
        for candidate in tossed(candidates, slot, wanted.seed, self.slots):
            found = full if _full(candidate) else ready
            key = candidate.posted.offer_hash
            found[key] = candidate, found[key][1] + 1 if key in found else 1
        if sum(slots for _, slots in ready.values()) >= self.slots // 2:
            return list(ready.values())
        for candidate in drawn(candidates, slot, wanted.seed):
            found = full if _full(candidate) else ready
            found[candidate.posted.offer_hash] = candidate, max(1, candidate.posted.stake.staked // slot)
            if len(ready) == self.slots:
                break
        return list((ready or full).values())

    def _behind(
        self, compared: Collection[Hash32], candidates: Sequence[Candidate], slot: int, wanted: Wanted
    ) -> Iterator[Choice]:
        """As they are drawn, but those that take nothing more after all others."""
        full: list[Candidate] = []
        ready = 0
        for candidate in drawn(candidates, slot, wanted.seed):
            if candidate.posted.offer_hash in compared:
                continue
            if _full(candidate):
                full.append(candidate)
                continue
            ready += 1
            yield Choice(posted=candidate.posted, expected=candidate.foreseen(wanted))
            if ready == self.further:
                return
        for candidate in full[: self.further - ready]:
            yield Choice(posted=candidate.posted, expected=candidate.foreseen(wanted))

    def chances(self, candidates: Sequence[Candidate], wanted: Wanted) -> Sequence[tuple[Candidate, float]]:
        """How likely each of those that this request compares comes first."""
        compared = self._compared(candidates, max(1, wanted.minimum_stake), wanted)
        late = self._lateness(compared, *self._foreseen(compared, wanted), wanted)
        rates = [exp(min(late) - each) for each in late]
        return [(candidate, rate / sum(rates)) for (candidate, _), rate in zip(compared, rates, strict=True)]

    def _ranked(self, compared: Sequence[tuple[Candidate, int]], wanted: Wanted) -> Sequence[Choice]:
        loads, expected = self._foreseen(compared, wanted)
        ranked: list[tuple[float, bytes, Choice]] = []
        lateness = self._lateness(compared, loads, expected, wanted)
        for (candidate, _), promised, late in zip(compared, expected, lateness, strict=True):
            ticket = _ticket(candidate, wanted)
            arrival = log(-log(_chance(ticket))) + late
            ranked.append((arrival, ticket, Choice(posted=candidate.posted, expected=promised)))
        ranked.sort(key=lambda item: item[:2])
        return [choice for *_, choice in ranked]

    @staticmethod
    def _foreseen(
        compared: Sequence[tuple[Candidate, int]], wanted: Wanted
    ) -> tuple[Sequence[Load | None], Sequence[Pace | None]]:
        loads = [candidate.load for candidate, _ in compared]
        return loads, [
            candidate.foreseen_under(load, wanted)
            for (candidate, _), load in zip(compared, loads, strict=True)
        ]

    def _lateness(
        self,
        compared: Sequence[tuple[Candidate, int]],
        loads: Sequence[Load | None],
        expected: Sequence[Pace | None],
        wanted: Wanted,
    ) -> list[float]:
        """Each arrives after an exponential time, the first one is taken: the logarithms of their means."""
        scores = self._scores(compared, loads, expected, wanted)
        return [
            self.keenness * log(each) - log(slots) for (_, slots), each in zip(compared, scores, strict=True)
        ]

    def _scores(
        self,
        compared: Sequence[tuple[Candidate, int]],
        loads: Sequence[Load | None],
        expected: Sequence[Pace | None],
        wanted: Wanted,
    ) -> list[float]:
        """Of whom nothing is known is taken to be as slow as the slowest that speaks, by its own word: a bad
        record is nobody else's."""
        known = [
            None if pace is None else self._times_s(candidate, load, pace, wanted)
            for (candidate, _), load, pace in zip(compared, loads, expected, strict=True)
        ]
        slowest = max((said for said, _ in filter(None, known)), default=1.0)
        times = [max(_SOON_S, slowest if pair is None else pair[1]) for pair in known]
        costs = [expected_cost(candidate.posted, wanted) for candidate, _ in compared]
        if self.second is not None:
            second = self.second
            return [max(_SOON_S, time * second + cost) for time, cost in zip(times, costs, strict=True)]
        # Nobody gets ahead by a higher price: it raises what is usual only where it is itself the usual one,
        # and then it loses as much to those below as they lose.
        usual = _median(costs, [slots for _, slots in compared])
        return [score(time, cost, usual) for time, cost in zip(times, costs, strict=True)]

    def _times_s(
        self, candidate: Candidate, load: Load | None, expected: Pace, wanted: Wanted
    ) -> tuple[float, float]:
        """(by its own word, or by its record where that is better; by its record), with the toll."""
        own, ratio = expected.felt_s(wanted.expected_output), candidate.seen.ratio
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


quoted: Final[Rule] = Quoted()

RULES: Final[Mapping[str, Rule]] = {
    "quoted": quoted,
    "cheapest": cheapest,
    "fastest": fastest,
    "stake-weighted": stake_weighted,
}
"""By the names that configurations use."""


def steered(rule: Rule, steering: Steering) -> Rule:
    """What the caller would have candidates sorted by; the payer's own rule where it does not say."""
    match steering.sort:
        case "price":
            return cheapest
        case "throughput":
            return most_fluent
        case "latency":
            return soonest
        case None:
            return rule


# -------------------------------------------------------------------------------------------- what they share


def _full(candidate: Candidate) -> bool:
    """It said that it would take nothing more; a quote is newer than that."""
    status = candidate.seen.status
    return candidate.quoted is None and status is not None and status.room <= candidate.pending


def _chance(ticket: bytes) -> float:
    """Between zero and one, evenly."""
    return (1 + (int.from_bytes(ticket[:8]) >> 12)) / ((1 << 52) + 1)


def _ticket(candidate: Candidate, wanted: Wanted) -> bytes:
    """32 bytes that nobody can know before the request: the seed is the payer's secret."""
    return keccak(wanted.seed.to_bytes(8, "big") + candidate.posted.offer_hash)


def _median(values: Sequence[int], weights: Sequence[int]) -> int:
    """The middle one; where there are two, the upper. One of them, so that it is somebody's own."""
    half, before = sum(weights) / 2, 0
    for value, weight in sorted(zip(values, weights, strict=True)):
        before += weight
        if before > half:
            return value
    return max(values, default=0)
