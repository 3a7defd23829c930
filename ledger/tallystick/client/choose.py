"""Which provider a request goes to: candidates × request × policy → an ordering.

Pure: the clock, the seed and what is known of providers come in. It opens no channel and sends nothing. Times
are predictions and floats; money is only ever compared.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from tallystick.ports import UNSEEN, PostedOffer, Seen
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import Address, Atoms, Timestamp, Tokens
from tallystick.reach import reachable_safely

TYPICAL_ANSWER = Tokens(256)
"""Output tokens of an answer of which nothing better is known."""


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
    """The candidates that may serve the request, in the order in which to try them: those that are said not
    to answer after all others. `local` as of `reachable_safely`."""
    fit = [
        candidate
        for candidate in candidates
        if eligible(candidate.posted, wanted, now=now, local=local, avoided=avoided)
    ]
    trusted = [candidate for candidate in fit if not candidate.seen.suspected]
    suspected = [candidate for candidate in fit if candidate.seen.suspected]
    return [*policy(trusted, wanted), *(policy(suspected, wanted) if suspected else ())]


def eligible(
    posted: PostedOffer,
    wanted: Wanted,
    *,
    now: Timestamp,
    local: bool,
    avoided: Collection[Address] = frozenset(),
) -> bool:
    """The offer holds, is for this model, has room for the answer, and its provider is neither avoided nor
    reached in the clear or inside the payer's own network."""
    offer = posted.offer
    return (
        offer.model == wanted.model
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
