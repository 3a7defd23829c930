"""One request's way from provider to provider, until somebody has served it or nobody does.

What one of them says or fails to do changes where it goes next: a refusal passes it on, a bounce reorders the
candidates, an answer that breaks off is gone on with elsewhere where the caller allows it.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp
from typing import TYPE_CHECKING, Final

import httpx2

from tallystick.client.ask import Ask, worst_cost
from tallystick.client.attempts import Call
from tallystick.client.choose import Choice, size_of
from tallystick.client.delivering import Shown
from tallystick.client.errors import (
    AnswerCut,
    BudgetError,
    NoEligibleOffer,
    ProviderRefused,
    ProviderUnreachable,
    TotalBudgetExceeded,
)
from tallystick.client.flow import Flow, Sleep, hurrying
from tallystick.client.hedging import Contender, race
from tallystick.client.purse import OpenChannel
from tallystick.client.quotes import PROBED
from tallystick.client.refusals import BOUNCED, ROOM
from tallystick.client.sending import ChannelGone
from tallystick.client.standing import CONNECT_S, Standing
from tallystick.ports import PostedOffer
from tallystick.protocol.errors import MarketError, WorstCaseExceedsCredit
from tallystick.protocol.expect import Expected, Redeemed
from tallystick.protocol.offer import Offer
from tallystick.protocol.quote import Quote
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import Address, Atoms, Tokens

if TYPE_CHECKING:
    from tallystick.client.payer import Payer

_ANSWER_S: Final = 5.0
"""To say what it holds of a channel in, while other providers are left."""
_LATE: Final = 1.645
"""Standard deviations: one in twenty first tokens comes later, by what is known of the provider."""
_VERY_LATE: Final = 2.326
"""The same: one in a hundred."""
_TIMES: Final = 3.0
"""So many times as long, and a provider that has not said a word is left …"""
_LEAST_S: Final = 5.0
"""… but not before: a gateway may be starting again, or the way to it be bad for a moment."""
_ANY: Final = 1 << 32
"""Tokens of context: more than any offer can name."""
_GRACE_S: Final = 0.1
"""For the way there and back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footing:
    """On which one provider is tried; see `Attempt`."""

    alone: bool
    connect_s: float | None
    expect: Expected | Redeemed | None
    quote: Quote | None
    leave_s: float | None = None

    @property
    def pace(self) -> Pace | None:
        """Promised, or said of itself."""
        if self.quote is not None:
            return self.quote.pace
        return self.expect.pace if isinstance(self.expect, Expected) else None


@dataclass(frozen=True, slots=True)
class Hedge:
    """Who else is asked, on which footing, and after how many seconds."""

    posted: PostedOffer
    footing: Footing
    after_s: float


class Search:
    """Of one call."""

    def __init__(self, payer: "Payer", ask: Ask, call: Call):
        self._payer = payer
        self._ask = ask
        """What is still wanted: the rest, once an answer broke off."""
        self._call = call
        self._shown = Shown(ask)
        self._wanted = wanted = payer.prospects.wanted(
            ask, secrets.randbits(64) if call.seed is None else call.seed
        )
        self._standing = Standing(size_of(wanted))
        self._failure: MarketError | None = None
        """To be told where nobody serves."""
        self._broken: MarketError | httpx2.TransportError | None = None
        """The same, once the caller has a part of the answer."""
        self._before = Atoms(0)
        """What the parts before may have cost."""
        self._unable: dict[str, int] = {}
        """Models whose engines cannot do what is asked, and the tokens of context up to which none can."""
        self._refused_by: set[Address] = set()
        """Providers whose engines said so."""
        self._said_first: ProviderRefused | None = None
        """The first of those words that is hardly for the length: by what is known, it fits there."""

    @property
    def shown(self) -> Shown:
        """What its caller was told."""
        return self._shown

    def bare(self) -> "Search | None":
        """The same once more without what audits add, where an engine refused it: it may not take what its
        caller never said, and nobody is to lose an answer by that. None: it did not, or nothing is added, or
        the caller has a part of an answer."""
        if self._broken is not None or not self._refused_by or not self._ask.added:
            return None
        again = Search(self._payer, self._ask.bare(frozenset(self._refused_by)), self._call)
        self._shown.leave()
        again._before = self._before
        again._shown.left.extend(self._shown.left)
        return again

    def run(self) -> Flow[None]:
        """As `Payer.call`."""
        payer, standing = self._payer, self._standing
        started = payer.now()
        while True:
            standing.begin_round()
            if (yield from self._round()):
                return
            if standing.again:
                continue
            pause = standing.pause_s(payer.now() - started)
            if pause is None:
                raise self._nobody()
            yield Sleep(pause)
            self._wanted = payer.prospects.wanted(self._ask, secrets.randbits(64))

    def _nobody(self) -> Exception:
        outcome = self._shown.outcome
        if self._broken is not None:
            if outcome is not None and self._shown.said is not None and isinstance(self._broken, AnswerCut):
                outcome.done = outcome.cut = True
                self._payer.tell(outcome)
            return self._broken
        if self._said_first is not None and isinstance(self._failure, ProviderRefused):
            return self._said_first  # Those of more context, who do not serve now, would say the same.
        return self._failure or self._not_offered()

    def _not_offered(self) -> NoEligibleOffer:
        model, wish = self._ask.model, self._payer.prospects.unmet(self._wanted)
        if wish is None:
            return NoEligibleOffer(f"Nobody offers {model!r} now.", required=model)
        return NoEligibleOffer(
            f"Nobody who offers {model!r} meets the wishes in `provider`: `{wish}` leaves nobody.",
            required=model,
        )

    def _round(self) -> Flow[bool]:
        """Whether one of the candidates, as they stand now, has served it."""
        gone, quoted = self._standing.gone, self._standing.haggling.quoted
        ordering = yield from self._payer.prospects.ordering(self._wanted, gone=gone, quoted=quoted)
        return (yield from self._tried(ordering))

    def _tried(self, ordering: Sequence[Choice]) -> Flow[bool]:
        """Whether one of these has served it, the first ones first."""
        standing = self._standing
        haggling = standing.haggling
        ordering = standing.arranged(ordering)
        for place, choice in enumerate(ordering):
            rest = ordering[place : place + 2]
            hurried = standing.is_hurried(choice.posted, is_last=len(rest) == 1)
            footing = Footing(
                alone=place == 0 and len(rest) == 1,
                connect_s=CONNECT_S if hurried else None,
                expect=haggling.says(choice.posted, choice.expected),
                quote=haggling.words.get(choice.posted.offer_hash),
            )
            if len(rest) > 1:
                footing = replace(footing, leave_s=self._leaves_after(choice.posted, footing))
            hedge = self._hedge(rest, footing)
            if (yield from self._served(choice.posted, footing, hedge)):
                return True
            if standing.again:
                if haggling.asks:
                    ordering = yield from self._with_quotes(ordering, place)
                    standing.begin_round()
                    return (yield from self._tried(ordering))
                return False
        return False

    def _hedge(self, ordering: Sequence[Choice], footing: Footing) -> Hedge | None:
        """Who else is asked where the first one of these is late, and when that is; None: nobody, because the
        caller does not want it, or nothing was promised, or there is nobody."""
        if not self._ask.hedges or self._broken is not None or len(ordering) < 2:
            return None
        pace, (first, second) = footing.pace, ordering
        if pace is None:
            return None
        says = self._standing.haggling.says(second.posted, second.expected)
        own = Footing(alone=False, connect_s=CONNECT_S, expect=says, quote=None)
        return Hedge(second.posted, own, pace.first_s * self._late(first.posted, _LATE) + _GRACE_S)

    def _leaves_after(self, posted: PostedOffer, footing: Footing) -> float | None:
        """Seconds without the head of a stream, after which the next one is asked; None: the caller's
        patience is all there is."""
        if footing.pace is None:
            return None
        read = self._call.timeout.get("read")
        leave_s = max(_LEAST_S, _TIMES * footing.pace.first_s * self._late(posted, _VERY_LATE))
        return leave_s if read is None or leave_s < read else None

    def _late(self, posted: PostedOffer, deviations: float) -> float:
        """So many times what was promised, by what is known of the provider."""
        record, provider = self._payer.record, posted.offer.provider
        ratio = record.ratio(provider, 1.0, now=self._payer.now())
        return max(1.0, ratio * exp(deviations * record.spread(provider)))

    def _served(self, posted: PostedOffer, footing: Footing, hedge: Hedge | None) -> Flow[bool]:
        """Whether this one has served it; where not, more is known."""
        payer, provider = self._payer, posted.offer.provider
        if posted.offer.context_length <= self._unable.get(posted.offer.model, 0):
            return False
        try:
            if hedge is None:
                yield from self._try(posted, footing, self._shown, self._before)
            else:
                yield from self._raced(posted, footing, hedge)
            return True
        except BudgetError as error:
            self._failure = self._failure or error
            if isinstance(error, TotalBudgetExceeded) and payer.purse.spending()[1] > 0:
                self._standing.wait(ROOM)
        except ProviderRefused as error:
            if not error.reason and 400 <= error.status < 500 and error.status not in (408, 429):
                self._disabled(posted.offer, error)
                if self._broken is None and all(
                    self._unable.get(model, 0) >= _ANY for model in self._wanted.models
                ):
                    raise
                if not isinstance(self._failure, ProviderRefused):
                    self._failure = error  # Else somebody of more context is busy, it may be.
            else:
                self._refused(posted, error, footing.expect)
        except (AnswerCut, httpx2.TransportError) as error:
            self._break_off(posted, error)
        except MarketError as error:
            self._failure = self._failure or error
            if isinstance(error, ProviderUnreachable):
                payer.record.failed(provider, now=payer.now())
            hurried = footing.connect_s is not None and isinstance(error.__cause__, httpx2.ConnectTimeout)
            self._standing.unreached(posted, hurried=hurried)
        return False

    def _disabled(self, offer: Offer, error: ProviderRefused) -> None:
        """By the engine's own word: another would say the same, but for one of more context, where it may
        have been for the length."""
        asked = self._ask.input_bound + (self._ask.limit or 0)
        self._unable[offer.model] = _ANY if asked <= offer.context_length else offer.context_length
        self._refused_by.add(offer.provider)
        if self._wanted.input_tokens + (self._ask.limit or 0) <= offer.context_length:
            self._said_first = self._said_first or error

    def _refused(
        self, posted: PostedOffer, error: ProviderRefused, expect: Expected | Redeemed | None
    ) -> None:
        self._failure = error
        bounce = error.quote.message if error.reason == BOUNCED and error.quote is not None else None
        if self._standing.refused(
            posted,
            patience=error.patience,
            pause_s=error.pause_s,
            failing=error.status >= 500,
            bounce=bounce,
            expect=expect,
            most=Tokens(self._ask.size // 2),
        ):
            self._payer.record.failed(posted.offer.provider, now=self._payer.now())

    def _break_off(self, posted: PostedOffer, error: AnswerCut | httpx2.TransportError) -> None:
        """Raises `error`, unless somebody else is to go on: to buy it anew is the caller's to decide."""
        attempt = self._shown.attempt
        posted = posted if attempt is None else attempt.pending.posted  # it may be the hedge's
        self._payer.record.failed(posted.offer.provider, now=self._payer.now())
        rest = self._shown.rest()
        if rest is None or attempt is None:
            self._broken = self._broken or error
            raise self._nobody()
        self._before = Atoms(self._before + attempt.may_cost)
        self._ask, self._broken = rest, error
        self._wanted = wanted = self._payer.prospects.wanted(rest, secrets.randbits(64))
        self._standing.broke_off(posted, size_of(wanted))

    def _with_quotes(self, ordering: Sequence[Choice], place: int) -> Flow[Sequence[Choice]]:
        """In which order, once the one there, which has bounced it, and those that come next have been asked
        for quotes."""
        payer, haggling = self._payer, self._standing.haggling
        asked = [choice.posted for choice in ordering[place : place + PROBED]]
        said = yield from self._ask_for_quotes(asked)
        best = payer.prospects.among(said, self._wanted, quoted=haggling.quoted)
        return self._standing.after_quotes(ordering, asked, best)

    def _ask_for_quotes(self, offers: Sequence[PostedOffer]) -> Flow[Sequence[PostedOffer]]:
        """Those that answer."""
        payer = self._payer

        def channel_to(posted: PostedOffer) -> Flow[OpenChannel]:
            ask = payer.within_budget(self._ask.asking(posted.offer.model), posted, self._before)
            return payer.channel_to(posted, worst_cost(ask, posted.offer))

        haggling = self._standing.haggling
        quotes = yield from payer.quotes.ask(offers, haggling.size, channel_to)
        haggling.answered(quotes)
        for posted in offers:
            if posted.offer_hash not in quotes:
                payer.record.failed(posted.offer.provider, now=payer.now())
        return [posted for posted in offers if posted.offer_hash in quotes]

    def _raced(self, posted: PostedOffer, footing: Footing, hedge: Hedge) -> Flow[None]:
        """This provider, and another where it is late. The budget of one request is to pay for both."""
        ask = self._payer.within_budget(self._ask.asking(posted.offer.model), posted, self._before)
        before = Atoms(self._before + worst_cost(ask, posted.offer))
        first = self._contender(posted, footing, self._before)
        second = self._contender(hedge.posted, hedge.footing, before)
        heard = yield from race(first, second, hedge.after_s)
        self._shown.leave()
        left, self._shown = self._shown.left, heard.shown
        unheard = (second if heard is first else first).shown
        other = unheard.attempt
        if other is not None and other.sent:
            self._before = Atoms(self._before + other.may_cost)
            unheard.leave()
        heard.shown.left.extend((*left, *unheard.left))
        if heard is second:  # the other one did not keep its promise, as far as can be told
            self._payer.record.failed(posted.offer.provider, now=self._payer.now())
        yield from heard.rest()

    def _contender(self, posted: PostedOffer, footing: Footing, before: Atoms) -> Contender:
        shown = Shown(self._ask, hedged=True)
        return Contender(self._try(posted, footing, shown, before), shown)

    def _try(self, posted: PostedOffer, footing: Footing, shown: Shown, before: Atoms) -> Flow[None]:
        """This provider; `before`: what the same call may cost elsewhere."""
        with self._payer.prospects.underway.at(posted.offer.provider, self._wanted.input_tokens):
            yield from self._insisting(posted, footing, shown, before)

    def _insisting(self, posted: PostedOffer, footing: Footing, shown: Shown, before: Atoms) -> Flow[None]:
        """Once more over a new channel, or as a stream, where that is what it takes."""
        payer, stream = self._payer, self._ask.stream or shown.hedged  # an answer in one piece cannot be left
        for _ in range(3):
            ask = self._ask.asking(posted.offer.model)
            beginning = payer.begin(posted, ask, stream=stream, before=before)
            if footing.connect_s is not None:
                beginning = hurrying(beginning, footing.connect_s, _ANSWER_S)
            attempt = yield from beginning
            attempt.alone, attempt.connect_s = footing.alone, footing.connect_s
            attempt.leave_s = footing.leave_s
            attempt.expect, attempt.quote = footing.expect, footing.quote
            attempt.goes_on = self._broken is not None
            attempt.kept = [] if ask.duels or ask.again is not None else None
            try:
                yield from payer.deliver(attempt, self._call, shown)
                return
            except ChannelGone:
                continue
            except ProviderRefused as error:
                if error.quote is not None:
                    error.quote = yield from payer.quotes.own_word(attempt.pending, error.quote)
                if error.reason != WorstCaseExceedsCredit.code or stream:
                    raise
                stream = True
        raise ProviderUnreachable("The provider keeps closing its channels.")
