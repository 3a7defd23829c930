"""The rules by which a payer may choose: each orders candidates, and is a `Rule`.

`quoted` is the default: price, predicted time and what a request costs others, weighed against each other.
The others order by one thing alone. All are pure: chance comes from the request's seed, and no order of
candidates, and nothing that a provider may pick freely, changes what they say.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from math import exp, log
from typing import Final

from tallystick.client.choose import (
    Candidate,
    Choice,
    Crowd,
    Drawing,
    Rule,
    Wanted,
    drawn,
    expected_cost,
    tossed,
)
from tallystick.client.errors import MalformedRequest
from tallystick.client.ordering import Ordering
from tallystick.client.steering import Steering
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.speed import Pace, slowdown_s
from tallystick.protocol.units import Address, Atoms, Hash32, Tokens
from tallystick.protocol.value import value

MOST_STRENGTH: Final = 1.1
"""Three duels won of four: no strength counts for more, or for less than its opposite."""
_CHANCES: Final = (1 << 52) + 1
"""A number below it and above zero, over it, is between zero and one."""
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


def least_cost(usual: float) -> float:
    """What any cost counts for at least: no price is better than half of the usual one."""
    return max(1, usual) / 2


def score(time_s: float, cost: float, least: float) -> float:
    """Of the default, the lower the better: the double of the time is as bad as the double of the price.
    `least`: see `least_cost`."""
    return time_s * (cost if cost > least else least)


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
            return self._unheard(candidates, wanted)
        ranked = self._ranked(candidates, compared, wanted)
        behind = self._behind(compared, candidates, slot, wanted)
        return Ordering(chain(ranked, behind)) if isinstance(candidates, Crowd) else [*ranked, *behind]

    def _unheard(self, candidates: Sequence[Candidate], wanted: Wanted) -> Sequence[Choice]:
        """Where nothing is known of anybody."""
        return cheapest(candidates, wanted)

    def _compared(
        self, candidates: Sequence[Candidate], slot: int, wanted: Wanted
    ) -> Sequence[tuple[Candidate, int]]:
        """(candidate, drawn slots). Those that take nothing more only where all that are drawn are such.
        Where few of those that are there will do, all slots of those that will are drawn."""
        ready: dict[Hash32, tuple[Candidate, int]] = {}
        full: dict[Hash32, tuple[Candidate, int]] = {}
        enough = 0
        for found in tossed(candidates, slot, wanted.seed, self.slots):
            candidate, slots = found
            if _full(candidate):
                full[candidate.posted.offer_hash] = found
            else:
                ready[candidate.posted.offer_hash] = found
                enough += slots
        if enough < self.slots // 2:
            for candidate in drawn(candidates, slot, wanted.seed):
                posted = candidate.posted
                found = candidate, max(1, posted.stake.staked // slot)
                (full if _full(candidate) else ready)[posted.offer_hash] = found
                if len(ready) == self.slots:
                    break
        return list((ready or full).values())

    def _behind(
        self,
        compared: Sequence[tuple[Candidate, int]],
        candidates: Sequence[Candidate],
        slot: int,
        wanted: Wanted,
    ) -> Iterator[Choice]:
        """As they are drawn, but those that take nothing more after all others."""
        there = {candidate.posted.offer_hash for candidate, _ in compared}
        full: list[Candidate] = []
        ready = 0
        for candidate in drawn(candidates, slot, wanted.seed):
            if candidate.posted.offer_hash in there:
                continue
            if _full(candidate):
                full.append(candidate)
                continue
            ready += 1
            yield Choice(candidate.posted, candidate.foreseen(wanted))
            if ready == self.further:
                return
        for candidate in full[: self.further - ready]:
            yield Choice(candidate.posted, candidate.foreseen(wanted))

    def chances(self, candidates: Sequence[Candidate], wanted: Wanted) -> Sequence[tuple[Candidate, float]]:
        """How likely each of those that this request compares comes first."""
        compared = self._compared(candidates, max(1, wanted.minimum_stake), wanted)
        late = self._lateness(compared, self._weighed(candidates, compared, wanted))
        rates = [exp(min(late) - each) for each in late]
        return [(candidate, rate / sum(rates)) for (candidate, _), rate in zip(compared, rates, strict=True)]

    def _ranked(
        self, candidates: Sequence[Candidate], compared: Sequence[tuple[Candidate, int]], wanted: Wanted
    ) -> Iterator[Choice]:
        weighed = self._weighed(candidates, compared, wanted)
        seed = wanted.seed.to_bytes(8, "big")
        arrivals: list[tuple[float, bytes, int]] = []
        for place, late in enumerate(self._lateness(compared, weighed)):
            ticket = keccak(seed + compared[place][0].posted.offer_hash)
            chance = (1 + (int.from_bytes(ticket[:8]) >> 12)) / _CHANCES
            arrivals.append((log(-log(chance)) + late, ticket, place))
        arrivals.sort()
        for _, _, place in arrivals:
            yield Choice(compared[place][0].posted, weighed[place].expected)

    def _weighed(
        self, candidates: Sequence[Candidate], compared: Sequence[tuple[Candidate, int]], wanted: Wanted
    ) -> Sequence["_Weighed"]:
        """Each of those compared; what a crowd keeps of an earlier ordering holds."""
        found = {}
        if isinstance(candidates, Crowd):
            found = candidates.kept(self, wanted.input_tokens, wanted.output_tokens, wanted.typical_output)
        weighed, output = [], wanted.expected_output
        for candidate, _ in compared:
            key = candidate.posted.offer_hash
            each = found.get(key)
            if each is None:
                each = found[key] = self._weigh(candidate, wanted, output)
            weighed.append(each)
        return weighed

    def _lateness(
        self, compared: Sequence[tuple[Candidate, int]], weighed: Sequence["_Weighed"]
    ) -> Sequence[float]:
        """Each arrives after an exponential time, the first one is taken: the logarithms of their means.

        Of whom nothing is known is taken to be as slow as the slowest that speaks, by its own word: a bad
        record is nobody else's."""
        said = [each.said_s for each in weighed if each.said_s is not None]
        slowest = max(said) if said else 1.0
        # Nobody gets ahead by a higher price: it raises what is usual only where it is itself the usual one,
        # and then it loses as much to those below as they lose.
        least = least_cost(_median([each.cost for each in weighed], [slots for _, slots in compared]))
        keenness, second, lateness = self.keenness, self.second, []
        for (_, slots), each in zip(compared, weighed, strict=True):
            time_s = slowest if each.time_s is None else each.time_s
            if time_s < _SOON_S:
                time_s = _SOON_S
            if second is None:
                weight = score(time_s, each.cost, least)
            else:
                weight = max(_SOON_S, time_s * second + each.cost)
            lateness.append(keenness * log(weight) - log(slots))
        return lateness

    def _weigh(self, candidate: Candidate, wanted: Wanted, output: Tokens) -> "_Weighed":
        """`output`: tokens that will probably come."""
        cost, load, seen = expected_cost(candidate.posted, wanted), candidate.load, candidate.seen
        expected = candidate.foreseen_under(load, wanted.input_tokens, output)
        if expected is None:
            return _Weighed(None, None, None, cost)
        taken, ratio = 0.0, seen.ratio
        if (status := seen.status) is not None and load is not None:
            taken = self.toll * slowdown_s(status.speed, load, wanted.input_tokens, output)
        own = expected.felt_s(output)
        if ratio <= 1.0:
            time_s = ratio * own + taken
            return _Weighed(expected, time_s, time_s, cost)
        # Whoever takes longer than it says has more to do than it says; and one more request slows the others
        # there by about as much as they slow it. All of that weighs, not the toll's part: a record is older
        # than a status, and such a provider is filled over the brim before anybody knows.
        hidden = (ratio - 1.0) * expected.total_s(output)
        return _Weighed(expected, own + taken, ratio * own + taken + hidden, cost)


@value(kw_only=False)
class _Weighed:
    """A candidate, for a request of one size."""

    expected: Pace | None
    """None: it says nothing."""
    said_s: float | None
    """What the answer takes, with the toll: by its own word, or by its record where that is better."""
    time_s: float | None
    """The same by its record."""
    cost: Atoms


quoted: Final[Rule] = Quoted()

# ------------------------------------------------------------------------------------------------ by quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged(Quoted):
    """As `Quoted`, and by what judges said of each provider's answers: a score is divided by e to the power
    of strength times esteem. Of whom no duel says anything is average.

    A strength is bounded, since it can be bought: whoever has its own providers duel pays the judges for each
    verdict, and no more. See docs/quality.md.
    """

    strengths: Mapping[Address, float] = field(hash=False, compare=False)
    """Of `tallystick.strengths`, or of a payer's own making."""
    esteem: float = 0.5
    """At 0.5 a provider that wins three duels of four may be 1.7 times as dear, or as slow, as an average
    one."""

    def _strength(self, candidate: Candidate) -> float:
        strength = self.strengths.get(candidate.posted.offer.provider, 0.0)
        return min(max(strength, -MOST_STRENGTH), MOST_STRENGTH)

    def _esteem(self, candidate: Candidate) -> float:
        """By what the logarithm of its score falls."""
        return self.esteem * self._strength(candidate)

    def _unheard(self, candidates: Sequence[Candidate], wanted: Wanted) -> Sequence[Choice]:
        """By price and strength."""

        def key(candidate: Candidate) -> tuple[float, Atoms, bytes]:
            cost = expected_cost(candidate.posted, wanted)
            return log(max(1, cost)) - self._esteem(candidate), cost, _ticket(candidate, wanted)

        return [Choice(posted=candidate.posted) for candidate in sorted(candidates, key=key)]

    def best(self, candidates: Sequence[Candidate], wanted: Wanted) -> Sequence[Choice]:
        """By strength alone; those that are as good as any, by price."""

        def key(candidate: Candidate) -> tuple[float, Atoms, bytes]:
            cost = expected_cost(candidate.posted, wanted)
            return -self._strength(candidate), cost, _ticket(candidate, wanted)

        ordered = sorted(candidates, key=key)
        return [Choice(candidate.posted, candidate.foreseen(wanted)) for candidate in ordered]

    def _lateness(
        self, compared: Sequence[tuple[Candidate, int]], weighed: Sequence["_Weighed"]
    ) -> Sequence[float]:
        # `super()` does not know a class with slots.
        plain = Quoted._lateness(self, compared, weighed)
        return [
            late - self.keenness * self._esteem(candidate)
            for late, (candidate, _) in zip(plain, compared, strict=True)
        ]


RULES: Final[Mapping[str, Rule]] = {
    "quoted": quoted,
    "cheapest": cheapest,
    "fastest": fastest,
    "stake-weighted": stake_weighted,
}
"""By the names that configurations use."""


def steered(rule: Rule, steering: Steering) -> Rule:
    """What the caller would have candidates sorted by; the payer's own rule where it does not say. Raises
    MalformedRequest where that rule knows nothing of what is asked for."""
    match steering.sort:
        case "price":
            return cheapest
        case "throughput":
            return most_fluent
        case "latency":
            return soonest
        case "quality" if isinstance(rule, Judged):
            return rule.best
        case "quality":
            raise MalformedRequest(
                "`provider.sort`: this payer knows of no duels. Its rule would be `Judged`."
            )
        case None:
            return rule


# -------------------------------------------------------------------------------------------- what they share


def _full(candidate: Candidate) -> bool:
    """It said that it would take nothing more; a quote is newer than that."""
    status = candidate.seen.status
    return candidate.quoted is None and status is not None and status.room <= candidate.pending


def _ticket(candidate: Candidate, wanted: Wanted) -> bytes:
    """32 bytes that nobody can know before the request: the seed is the payer's secret."""
    return keccak(wanted.seed.to_bytes(8, "big") + candidate.posted.offer_hash)


def _median(values: Sequence[int], weights: Sequence[int]) -> int:
    """The middle one; where there are two, the upper. One of them, so that it is somebody's own."""
    if values and values.count(values[0]) == len(values):
        return values[0]
    half, before = sum(weights) / 2, 0
    for middle, weight in sorted(zip(values, weights, strict=True)):
        before += weight
        if before > half:
            return middle
    return max(values, default=0)
