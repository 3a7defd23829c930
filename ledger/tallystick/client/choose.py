"""Which provider a request goes to: candidates × request × policy → an ordering.

Pure: the clock, the seed and what is known of providers come in. It opens no channel and sends nothing. Times
are predictions and floats; money is only ever compared.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from tallystick.client.steering import Steering
from tallystick.ports import UNSEEN, PostedOffer, Seen
from tallystick.protocol.length import TYPICAL_ANSWER
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.rating import TYPICAL_SPREAD
from tallystick.protocol.speed import Load, Pace, pace
from tallystick.protocol.units import Address, Atoms, Timestamp, Tokens
from tallystick.reach import reachable_safely


@dataclass(frozen=True, slots=True, kw_only=True)
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
    steering: Steering = Steering()
    """What the caller wishes of the choice."""

    @property
    def models(self) -> tuple[str, ...]:
        return (self.model, *self.fallbacks)

    @property
    def expected_output(self) -> Tokens:
        """Output tokens that will probably come: predictions are for so many."""
        if self.output_tokens is None:
            return self.typical_output
        return Tokens(min(self.output_tokens, self.typical_output))


@dataclass(frozen=True, slots=True, kw_only=True)
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
        if self.seen.status is None or not self.seen.status.speed.is_known:
            return None
        load = self.seen.status.load
        return Load(
            running=load.running,
            waiting=load.waiting + self.pending,
            context=load.context,
            queued=Tokens(load.queued + self.pending_tokens),
        )

    @property
    def speaks(self) -> bool:
        """It said something of how long it takes."""
        status = self.seen.status
        return self.quoted is not None or (status is not None and status.speed.is_known)

    def foreseen(self, wanted: Wanted) -> Pace | None:
        """What the provider's own word lets one expect; None where it said nothing."""
        status = self.seen.status
        if self.quoted is not None or status is None or (load := self.load) is None:
            return self.quoted
        return pace(
            status.speed,
            load,
            input_tokens=wanted.input_tokens,
            output_tokens=wanted.expected_output,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A candidate to try."""

    posted: PostedOffer
    expected: Pace | None = None
    """What is expected of it, by its own word; None: the rule expects nothing, and asks for no quote."""


Policy = Callable[[Sequence[Candidate], Wanted], Sequence[Choice]]
"""Eligible candidates in, the order in which to try them out. Leaving one out is refusing it."""


def choose(
    candidates: Sequence[Candidate],
    wanted: Wanted,
    policy: Policy,
    *,
    now: Timestamp,
    local: bool,
    avoided: Collection[Address] = frozenset(),
) -> Sequence[Choice]:
    """The candidates that may serve the request, in the order in which to try them: model by model, and those
    that are said not to answer after all others of a model. What the caller wishes comes before the policy.
    `local` as of `reachable_safely`."""
    steering = wanted.steering
    fit = [
        candidate
        for candidate in candidates
        if eligible(candidate.posted, wanted, now=now, local=local, avoided=avoided)
        and steering.admits(candidate.posted, candidate.seen, unit=wanted.unit)
    ]
    chosen: list[Choice] = []
    for models in [wanted.models] if steering.across_models else [(model,) for model in wanted.models]:
        same = [candidate for candidate in fit if candidate.posted.offer.model in models]
        for suspected in (False, True):
            if some := [candidate for candidate in same if candidate.seen.suspected is suspected]:
                chosen += policy(some, wanted)
    return _as_wished(chosen, fit, wanted) if steering != Steering() else chosen


def _as_wished(chosen: Sequence[Choice], fit: Sequence[Candidate], wanted: Wanted) -> Sequence[Choice]:
    known = {candidate.posted.offer_hash: candidate for candidate in fit}

    def lags(choice: Choice) -> bool:
        candidate = known[choice.posted.offer_hash]
        return not wanted.steering.prefers(
            candidate.foreseen(wanted), ratio=candidate.seen.ratio, spread=candidate.spread
        )

    return wanted.steering.arranged(sorted(chosen, key=lags), lambda choice: choice.posted.offer)


def eligible(
    posted: PostedOffer,
    wanted: Wanted,
    *,
    now: Timestamp,
    local: bool,
    avoided: Collection[Address] = frozenset(),
) -> bool:
    """The offer holds, is for a model that will do, has room for the answer, and its provider is neither
    avoided nor reached in the clear or inside the payer's own network."""
    offer = posted.offer
    return (
        offer.model in wanted.models
        and now < offer.valid_until
        and offer.provider not in avoided
        and (wanted.output_tokens or 0) < offer.context_length
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
