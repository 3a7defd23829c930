"""Which provider a request goes to: candidates × request × rule → an ordering.

Pure: the clock, the seed and what is known of providers come in. It opens no channel and sends nothing. Times
are predictions and floats; money is only ever compared.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Any, Final, overload

from tallystick.client.drawing import Lots
from tallystick.client.ordering import Ordering
from tallystick.client.steering import Steering
from tallystick.ports import UNSEEN, PostedOffer, Seen
from tallystick.protocol.expect import Size
from tallystick.protocol.length import TYPICAL_ANSWER
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.rating import TYPICAL_SPREAD
from tallystick.protocol.speed import Load, Pace, pace
from tallystick.protocol.units import Address, Atoms, Hash32, Timestamp, Tokens
from tallystick.protocol.value import value
from tallystick.reach import reachable_safely

WISHES_NOTHING: Final = Steering()
_BY_HASH: Final = attrgetter("offer_hash")
_TOSSES: Final = 4
"""Tosses for each one that will do."""


@value()
class Wanted:
    """What a request needs of a provider, as far as choosing goes."""

    model: str
    input_tokens: Tokens
    """An estimate, for comparing prices."""
    output_tokens: Tokens | None
    """Of all answers together, at most; None where the payer set no limit."""
    seed: int
    """64 bits that nobody else knows. All that a rule leaves to chance follows from them."""
    typical_output: Tokens = TYPICAL_ANSWER
    """Output tokens that answers of this model had before."""
    minimum_stake: Atoms = Atoms(0)
    """What one must stake on this market to post an offer: one bond slot; zero: each atom is one."""
    unit: Atoms = Atoms(1_000_000)
    """Of the asset: prices that a caller names are in these."""
    fallbacks: tuple[str, ...] = ()
    """Models that will do where nobody serves `model`, the best first."""
    steering: Steering = WISHES_NOTHING
    """What the caller wishes of the choice."""
    answers: int = 1
    """Asked for: each has the context by itself."""

    @property
    def longest(self) -> int:
        """Tokens of one answer, at most."""
        return (self.output_tokens or 0) // self.answers

    @property
    def models(self) -> tuple[str, ...]:
        return (self.model, *self.fallbacks)

    @property
    def expected_output(self) -> Tokens:
        """Output tokens that will probably come: predictions are for so many."""
        if self.output_tokens is None:
            return self.typical_output
        return Tokens(min(self.output_tokens, self.typical_output))


def size_of(wanted: Wanted) -> Size:
    """As a provider is told of it."""
    return Size(input_tokens=wanted.input_tokens, output_tokens=wanted.expected_output)


@value(kw_only=False)
class Candidate:
    """An offer, and what is known of whoever stands behind it."""

    posted: PostedOffer
    seen: Seen = UNSEEN
    pending: int = 0
    """Requests of the payer's own under way there that the status cannot count yet."""
    pending_tokens: Tokens = Tokens(0)
    """Their input."""
    quoted: Pace | None = None
    """What the provider itself said of this very request, in a bounce or when it was asked; it says more than
    any status."""
    spread: float = TYPICAL_SPREAD
    """Standard deviation of the logarithm of observed over quoted time."""

    @property
    def load(self) -> Load | None:
        """As last heard, and what was sent there since; None: nothing was heard, or nothing of its engine."""
        status = self.seen.status
        if status is None or not status.speed.is_known:
            return None
        queued = status.queued + self.pending_tokens
        return Load(status.running, status.waiting + self.pending, status.context, Tokens(queued))

    @property
    def speaks(self) -> bool:
        """It said something of how long it takes."""
        status = self.seen.status
        return self.quoted is not None or (status is not None and status.speed.is_known)

    def foreseen(self, wanted: Wanted) -> Pace | None:
        """What the provider's own word lets one expect; None where it said nothing."""
        load = None if self.quoted is not None else self.load
        return self.foreseen_under(load, wanted.input_tokens, wanted.expected_output)

    def foreseen_under(self, load: Load | None, input_tokens: Tokens, output_tokens: Tokens) -> Pace | None:
        """The same by one that knows its `load` already."""
        status = self.seen.status
        if self.quoted is not None or load is None or status is None:
            return self.quoted
        return pace(status.speed, load, input_tokens, output_tokens)


@value(kw_only=False)
class Choice:
    """A candidate to try."""

    posted: PostedOffer
    expected: Pace | None = None
    """What is expected of it, by its own word; None: the rule expects nothing, and asks for no quote."""


Rule = Callable[[Sequence[Candidate], Wanted], Sequence[Choice]]
"""Eligible candidates in, the order in which to try them out. Leaving one out is refusing it."""


class Drawing:
    """A rule that looks at a few of many candidates, and also where there may be none."""

    __slots__ = ()


# ---------------------------------------------------------------------------------- looked at one by one


class Offers:
    """Offers that stay alike for many requests, laid out to be drawn from."""

    def __init__(self, posted: Iterable[PostedOffer]):
        self.posted = sorted(posted, key=_BY_HASH)
        self._lots: dict[int, Lots[PostedOffer]] = {}
        self._valid_until = min((item.offer.valid_until for item in self.posted), default=Timestamp(0))
        self.context = min((item.offer.context_length for item in self.posted), default=Tokens(0))
        """The shortest of theirs."""
        self._reachable: dict[bool, bool] = {}
        """By `local`: all of them are."""

    def all_eligible(self, wanted: "Wanted", now: Timestamp, local: bool) -> bool:
        """As `eligible` has it of each where nobody is avoided: that need not be asked of one by one."""
        if (all_are := self._reachable.get(local)) is None:
            all_are = all(reachable_safely(item.offer, local=local) for item in self.posted)
            self._reachable[local] = all_are
        return all_are and now < self._valid_until and wanted.longest < self.context

    def lots(self, slot: int) -> Lots[PostedOffer]:
        """Each weighs as many bond slots as stand behind it; `slot`: atoms of one."""
        found = self._lots.get(slot)
        if found is None:
            weights = [item.stake.staked // slot for item in self.posted]
            found = self._lots[slot] = Lots(self.posted, weights)
        return found


@dataclass(frozen=True, slots=True)
class Known:
    """All that is offered, and a way to look at one: looking at each costs more than a request may. Kept for
    more than one ordering only while nothing is learned."""

    by_model: Mapping[str, Offers]
    look: Callable[[PostedOffer], Candidate | None]
    """What is known of it; None: it is not to be looked at."""
    kept: dict[object, dict[Hash32, Any]] = field(default_factory=dict)
    """What rules found of offers, by what it depends on beside them, for the next ordering."""

    @classmethod
    def of(cls, posted: Iterable[PostedOffer], look: Callable[[PostedOffer], Candidate | None]) -> "Known":
        return cls(by_model(posted), look)

    def offers(self, models: Collection[str]) -> Offers:
        found = [self.by_model[model] for model in models if model in self.by_model]
        return found[0] if len(found) == 1 else Offers(item for some in found for item in some.posted)


def by_model(posted: Iterable[PostedOffer]) -> Mapping[str, Offers]:
    models: dict[str, list[PostedOffer]] = {}
    for item in posted:
        models.setdefault(item.offer.model, []).append(item)
    return {model: Offers(same) for model, same in models.items()}


class Crowd(Sequence[Candidate]):
    """Those of some offers that will do and are not suspected, each looked at once, when somebody asks."""

    def __init__(
        self,
        offers: Offers,
        look: Callable[[PostedOffer], Candidate | None],
        kept: dict[object, dict[Hash32, Any]],
    ):
        """`look`: None for those that will not do; `kept`: as of `Known`."""
        self._offers = offers
        self._look = look
        self._kept = kept
        self._looked: dict[Hash32, Candidate | None] = {}
        self.suspected: list[Candidate] = []
        """Of those that were looked at."""

    def drawn(self, slot: int, seed: int) -> Iterator[Candidate]:
        """One after another by bond slot, as far as anybody asks."""
        for posted in self._offers.lots(slot).drawn(seed):
            if (found := self._at(posted)) is not None:
                yield found

    def kept(self, *depends: object) -> dict[Hash32, Any]:
        """What a rule found of each, by offer, and what depends on nothing else but `depends`: to be read and
        added to."""
        return self._kept.setdefault(depends, {})

    def tossed(self, slot: int, seed: int, count: int) -> Iterator[tuple[Candidate, int]]:
        """So many with replacement; fewer where few of those that are there will do."""
        times: dict[Hash32, int] = {}
        for posted in islice(self._offers.lots(slot).tossed(seed), _TOSSES * count):
            key = posted.offer_hash
            if key in times or self._at(posted) is not None:
                times[key] = times.get(key, 0) + 1
                count -= 1
                if not count:
                    break
        looked = self._looked
        return ((found, often) for key, often in times.items() if (found := looked[key]) is not None)

    def _at(self, posted: PostedOffer) -> Candidate | None:
        key, looked = posted.offer_hash, self._looked
        if key in looked:
            return looked[key]
        found = self._look(posted)
        if found is not None and found.seen.suspected:
            self.suspected.append(found)
            found = None
        looked[key] = found
        return found

    def __iter__(self) -> Iterator[Candidate]:
        return (found for posted in self._offers.posted if (found := self._at(posted)) is not None)

    def __bool__(self) -> bool:
        return any(True for _ in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @overload
    def __getitem__(self, index: int) -> Candidate: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Candidate]: ...
    def __getitem__(self, index: int | slice) -> Candidate | Sequence[Candidate]:
        return list(self)[index]


def drawn(candidates: Sequence[Candidate], slot: int, seed: int) -> Iterator[Candidate]:
    """One after another without replacement, each as likely as it has bond slots of so many atoms among those
    that are left, and those without any last. No order of candidates changes it."""
    return (
        candidates.drawn(slot, seed) if isinstance(candidates, Crowd) else _lots(candidates, slot).drawn(seed)
    )


def tossed(
    candidates: Sequence[Candidate], slot: int, seed: int, count: int
) -> Iterator[tuple[Candidate, int]]:
    """The same with replacement: `count` of them, or fewer where few of a crowd will do. Each with how often
    it came, in the order in which they came first."""
    if isinstance(candidates, Crowd):
        return candidates.tossed(slot, seed, count)
    found = list(islice(_lots(candidates, slot).tossed(seed), count))
    times = Counter(item.posted.offer_hash for item in found)
    return ((item, times[key]) for key, item in {item.posted.offer_hash: item for item in found}.items())


def _lots(candidates: Sequence[Candidate], slot: int) -> Lots[Candidate]:
    ordered = sorted(candidates, key=lambda candidate: candidate.posted.offer_hash)
    return Lots(ordered, [item.posted.stake.staked // slot for item in ordered])


# ---------------------------------------------------------------------------------- the choice


def choose(
    candidates: Sequence[Candidate] | Known,
    wanted: Wanted,
    rule: Rule,
    *,
    now: Timestamp,
    local: bool,
    avoided: Collection[Address] = frozenset(),
) -> Sequence[Choice]:
    """The candidates that may serve the request, in the order in which to try them: those first whose context
    holds what is guessed of the request, of these model by model, and those that are said not to answer after
    all others of a model. What the caller wishes comes before the rule.
    `local` as of `reachable_safely`. Of `Known`, no more are looked at than the rule asks for."""
    if not isinstance(candidates, Known):
        looked = {item.posted.offer_hash: item for item in candidates}
        candidates = Known.of((item.posted for item in candidates), lambda posted: looked[posted.offer_hash])
    steering, known = wanted.steering, candidates
    steers = steering is not WISHES_NOTHING and steering != WISHES_NOTHING
    fit: dict[Hash32, Candidate] = {}
    tokens = wanted.input_tokens + wanted.longest

    def look(posted: PostedOffer, roomy: bool | None = None) -> Candidate | None:
        if roomy is not None and roomy != (tokens <= posted.offer.context_length):
            return None
        if not eligible(posted, wanted, now, local, avoided):
            return None
        found = known.look(posted)
        if found is None or not steers:
            return found
        if not steering.admits(posted, found.seen, unit=wanted.unit):
            return None
        fit[posted.offer_hash] = found
        return found

    def ranked(offers: Offers, roomy: bool | None) -> Iterator[Choice]:
        asks = roomy is not None or steers or avoided or not offers.all_eligible(wanted, now, local)
        crowd = Crowd(offers, partial(look, roomy=roomy) if asks else known.look, known.kept)
        if isinstance(rule, Drawing) or crowd:
            found = rule(crowd, wanted)
            yield from found.once() if isinstance(found, Ordering) else found
        if crowd.suspected:
            yield from rule(crowd.suspected, wanted)

    def ordered() -> Iterator[Choice]:
        each = [wanted.models] if steering.across_models else [(model,) for model in wanted.models]
        groups = [known.offers(models) for models in each]
        for roomy in (True, False):
            for offers in groups:
                tight = tokens > offers.context
                if roomy or tight:
                    yield from ranked(offers, roomy if tight else None)

    chosen = Ordering(ordered())
    return _as_wished(chosen, fit, wanted) if steers else chosen


def _as_wished(chosen: Sequence[Choice], fit: Mapping[Hash32, Candidate], wanted: Wanted) -> Sequence[Choice]:
    def lags(choice: Choice) -> bool:
        candidate = fit[choice.posted.offer_hash]
        return not wanted.steering.prefers(
            candidate.foreseen(wanted), ratio=candidate.seen.ratio, spread=candidate.spread
        )

    return wanted.steering.arranged(sorted(chosen, key=lags), lambda choice: choice.posted.offer)


def eligible(
    posted: PostedOffer,
    wanted: Wanted,
    now: Timestamp,
    local: bool,
    avoided: Collection[Address] = frozenset(),
) -> bool:
    """The offer holds, is for a model that will do, has room for the answer, and its provider is neither
    avoided nor reached in the clear or inside the payer's own network."""
    offer = posted.offer
    return (
        (offer.model == wanted.model or offer.model in wanted.fallbacks)
        and now < offer.valid_until
        and offer.provider not in avoided
        and wanted.longest < offer.context_length
        and reachable_safely(offer, local=local)
    )


def expected_cost(posted: PostedOffer, wanted: Wanted) -> Atoms:
    """Atoms that the request would cost at this offer's prices, nothing of it cached; all of it where that is
    dearer, since what was cached is the provider's own word."""
    output = wanted.typical_output if wanted.output_tokens is None else wanted.output_tokens
    offer = posted.offer
    return cost_up(
        offer,
        input_tokens=wanted.input_tokens,
        cached_input_tokens=wanted.input_tokens if offer.cached_input_price > offer.input_price else 0,
        output_tokens=output,
    )
