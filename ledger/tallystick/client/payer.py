"""A payer at work: it chooses a provider, pays, receives, checks. One flow for threads and event loops.

`call` is the whole of a paid request, from the caller's body to the caller's answer. What it sends is made in
`sending`, what it receives is read by the `receiver`, what it owes is kept in the `purse`; what can wait
(bare vouchers, answers that were cut) is left to the `clerk`.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

import httpx2

from tallystick.chain.local import LOCAL_CHAIN_IDS
from tallystick.client.ask import Ask, affordable_limit, read_ask, worst_cost
from tallystick.client.attempts import Attempt, Call, LostAttempts
from tallystick.client.choose import Choice, Policy, Wanted
from tallystick.client.delivering import Delivery, Settler, Shown
from tallystick.client.errors import AnswerCut, NoEligibleOffer, ProviderRefused, ProviderUnreachable
from tallystick.client.flow import Flow, Sleep, hurrying
from tallystick.client.listing import Listing
from tallystick.client.mending import catch_up
from tallystick.client.outcome import OutcomeListener
from tallystick.client.prospects import Prospects
from tallystick.client.purse import OpenChannel, Purse
from tallystick.client.quotes import PROBED, Haggling, Quotes, promises_enough
from tallystick.client.receiver import Receiver
from tallystick.client.record import Record
from tallystick.client.refusals import BOUNCED, ROOM
from tallystick.client.sending import ChannelGone, Sender, endpoint_of
from tallystick.ports import PostedOffer, Recount, View
from tallystick.protocol.errors import (
    BudgetError,
    MarketError,
    TotalBudgetExceeded,
    WorstCaseExceedsCredit,
)
from tallystick.protocol.expect import Expected, Redeemed, Size
from tallystick.protocol.quote import Quote
from tallystick.protocol.units import Atoms, Hash32, Milliseconds
from tallystick.protocol.voucher import request_hash

_CONNECT_S: Final = 0.5
"""To connect in while other providers are left: a way around the world and back, twice."""


class Clerk(Settler, Protocol):
    """Does what can wait."""

    def refresh(self) -> None:
        """Looks the offers up anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which one provider is tried; see `Attempt`."""

    alone: bool
    connect_s: float | None
    expect: Expected | Redeemed | None
    quote: Quote | None


class Search:
    """What has come of one request's way from provider to provider."""

    __slots__ = ("again", "failure", "gone", "haggling", "patience", "slow", "unable", "wanted")

    def __init__(self, wanted: Wanted):
        self.wanted = wanted
        size = Size(input_tokens=wanted.input_tokens, output_tokens=wanted.expected_output)
        self.haggling = Haggling(size)
        self.failure: MarketError | None = None
        """To be told where nobody serves."""
        self.gone: set[Hash32] = set()
        """Hashes of offers under which it cannot be had."""
        self.unable: set[str] = set()
        """Models whose engines cannot do what is asked."""
        self.patience = 0
        """Milliseconds for which those that refused may change their mind."""
        self.again = False
        """What was said changes the order."""
        self.slow = False
        """Somebody was given less time to connect in than the caller allows."""


class Payer:
    """One wallet buying on one market, within its budget."""

    def __init__(
        self,
        *,
        purse: Purse,
        listing: Listing,
        sender: Sender,
        clerk: Clerk,
        policy: Policy,
        view: View,
        now: Callable[[], Milliseconds],
        on_outcome: OutcomeListener | None = None,
        tokenizers: Mapping[str, Recount] = MappingProxyType({}),
    ):
        self.purse = purse
        self.listing = listing
        self.sender = sender
        self.receiver = Receiver(
            purse=purse, listing=listing, settle=clerk.settle, now=now, tokenizers=tokenizers
        )
        self.now = now
        self._on_outcome = on_outcome
        self._lost = LostAttempts()
        self._quotes = Quotes(sender, listing)
        self._delivery = Delivery(
            purse=purse,
            sender=sender,
            receiver=self.receiver,
            quotes=self._quotes,
            settler=clerk,
            now=now,
            lost=self._lost,
        )
        self.local = purse.domain.chain_id in LOCAL_CHAIN_IDS
        self.record = Record()
        self.prospects = Prospects(
            listing=listing,
            view=view,
            record=self.record,
            evidence=purse.evidence,
            policy=policy,
            now=now,
            local=self.local,
            refresh=clerk.refresh,
        )

    # ------------------------------------------------------------------------------------------- the call

    def call(self, call: Call) -> Flow[None]:
        """A paid request: one `Respond`, and `Emit`s after it where the answer is streamed.

        Raises
        ------
        MalformedRequest :
            Not an OpenAI body.
        BudgetError :
            The budget does not cover it; nothing was sent.
        NoEligibleOffer :
            Nobody offers the model on terms that can be met.
        AnswerCut :
            The provider ended the answer before its end.
        PayerError, httpx2.TransportError :
            Every provider refused or was out of reach; or the answer was lost on its way.
        """
        ask = read_ask(call.path, call.body)
        lost = self._lost.take(call)
        if lost is not None:
            try:
                yield from self._deliver(lost, call, Shown(lost.ask))
                return
            except (ProviderUnreachable, ChannelGone):
                pass  # out of reach still: the clerk goes on looking for it
        yield from self._try_candidates(ask, call)

    def _try_candidates(self, ask: Ask, call: Call) -> Flow[None]:
        started, pause = self.now(), 0.005
        search = Search(self.prospects.wanted(ask, secrets.randbits(64)))
        while True:
            search.patience, search.again = 0, False
            ordering = yield from self.prospects.ordering(
                search.wanted, gone=search.gone, quoted=search.haggling.quoted
            )
            if search.haggling.asks and ordering:
                yield from self._ask_for_quotes(search, ask, ordering)
                continue
            for place, choice in enumerate(ordering, 1):
                last = place == len(ordering)
                if (yield from self._served(search, choice, ask, call, alone=len(ordering) == 1, last=last)):
                    return
                if search.again:
                    break
            if search.again or search.slow:
                search.slow = False
                continue
            if self.now() - started >= search.patience:
                nobody = NoEligibleOffer(f"Nobody offers {ask.model!r} now.", required=ask.model)
                raise search.failure or nobody
            yield Sleep(pause)
            pause = min(pause * 1.6, 0.25)
            search.wanted = self.prospects.wanted(ask, secrets.randbits(64))

    def _served(
        self, search: "Search", choice: Choice, ask: Ask, call: Call, *, alone: bool, last: bool
    ) -> Flow[bool]:
        """Whether this one has served it; where not, the search knows more."""
        posted, provider = choice.posted, choice.posted.offer.provider
        if posted.offer.model in search.unable:
            return False
        ask = ask.asking(posted.offer.model)
        terms = Terms(
            alone=alone,
            connect_s=None if last else _CONNECT_S,
            expect=search.haggling.says(posted, choice.expected),
            quote=search.haggling.held.get(posted.offer_hash),
        )
        try:
            with self.prospects.underway.at(provider, ask.input_estimate):
                yield from self._try(posted, ask, call, terms)
            return True
        except BudgetError as error:
            search.failure = search.failure or error
            if isinstance(error, TotalBudgetExceeded) and self.purse.spending()[1] > 0:
                search.patience = ROOM
        except ProviderRefused as error:
            if not error.reason and 400 <= error.status < 500 and error.status not in (408, 429):
                search.unable.add(posted.offer.model)  # the engine's: another engine would say the same
                if search.unable.issuperset(search.wanted.models):
                    raise
                search.failure = error
            else:
                self._refused(search, posted, error, terms.expect)
        except AnswerCut:
            self.record.failed(provider, now=self.now())
            raise  # to buy it a second time is the caller's to decide
        except httpx2.TransportError:
            self.record.failed(provider, now=self.now())
            raise
        except MarketError as error:
            search.failure = search.failure or error
            if isinstance(error, ProviderUnreachable):
                self.record.failed(provider, now=self.now())
            if terms.connect_s is not None and isinstance(error.__cause__, httpx2.ConnectTimeout):
                search.slow = True  # where nobody serves it gets the time that the caller allows
            else:
                search.gone.add(posted.offer_hash)
        return False

    def _refused(
        self,
        search: "Search",
        posted: PostedOffer,
        error: ProviderRefused,
        expect: Expected | Redeemed | None,
    ) -> None:
        haggling, quote = search.haggling, error.quote
        search.failure = error
        if error.reason == BOUNCED and quote is not None and not promises_enough(quote.message, expect):
            haggling.bounced(posted, quote.message)
            search.again = True
        elif posted.offer_hash in haggling.held:
            haggling.spent(posted)  # it is asked again, and expects nothing then
            search.again = True
        else:
            search.patience = max(search.patience, error.patience)
            if error.status >= 500 and not error.patience:  # a bounce without a reason is none, too
                self.record.failed(posted.offer.provider, now=self.now())
            if not error.patience:
                search.gone.add(posted.offer_hash)

    def _ask_for_quotes(self, search: "Search", ask: Ask, ordering: Sequence[Choice]) -> Flow[None]:
        def channel_to(posted: PostedOffer) -> Flow[OpenChannel]:
            return self._channel_to(posted, worst_cost(self._within_budget(ask, posted), posted.offer))

        offers = [choice.posted for choice in ordering][:PROBED]
        quotes = yield from self._quotes.ask(offers, search.haggling.size, channel_to)
        search.haggling.answered(quotes)
        for posted in offers:
            if posted.offer_hash not in quotes:
                self.record.failed(posted.offer.provider, now=self.now())

    def _try(self, posted: PostedOffer, ask: Ask, call: Call, terms: "Terms") -> Flow[None]:
        """This provider; once more over a new channel, or as a stream, where that is what it takes."""
        stream = ask.stream
        for _ in range(3):
            beginning = self._begin(posted, ask, stream=stream)
            if terms.connect_s is not None:
                beginning = hurrying(beginning, terms.connect_s)
            attempt = yield from beginning
            attempt.alone, attempt.connect_s = terms.alone, terms.connect_s
            attempt.expect, attempt.quote = terms.expect, terms.quote
            try:
                yield from self._deliver(attempt, call, Shown(ask))
                return
            except ChannelGone:
                continue
            except ProviderRefused as error:
                if error.quote is not None:
                    error.quote = yield from self._quotes.own_word(attempt.pending, error.quote)
                if error.reason != WorstCaseExceedsCredit.code or stream:
                    raise
                stream = True
        raise ProviderUnreachable("The provider keeps closing its channels.")

    def _deliver(self, attempt: Attempt, call: Call, shown: Shown) -> Flow[None]:
        try:
            yield from self._delivery.deliver(attempt, call, shown)
        except AnswerCut:
            self._tell(shown)
            raise
        self._remember(attempt)
        self._tell(shown)

    def _remember(self, attempt: Attempt) -> None:
        """That it answered, and whether it kept its promise."""
        provider, observed, promised = attempt.provider, attempt.observed, attempt.promised
        self.record.answered(provider, attempt.ask.model, attempt.output_tokens)
        if observed is not None and promised is not None:
            self.record.observe(provider, promised, observed, attempt.output_tokens, now=self.now())

    def _tell(self, shown: Shown) -> None:
        if self._on_outcome is not None and shown.outcome is not None:
            self._on_outcome(shown.outcome)

    def _begin(self, posted: PostedOffer, ask: Ask, *, stream: bool) -> Flow[Attempt]:
        """A request with its atoms reserved and its channel granted; nothing is sent yet."""
        ask = self._within_budget(ask, posted)
        worst = worst_cost(ask, posted.offer)
        self.purse.budget.require_affordable(worst)
        streamed = stream or worst > posted.offer.credit
        channel = yield from self._channel_to(posted, worst)
        body = ask.body(stream=streamed)
        pending = self.purse.reserve(
            channel,
            posted,
            path=ask.path,
            model=ask.model,
            body=body,
            request_hash=request_hash(posted.offer_hash, body),
            streamed=streamed,
            worst=worst,
        )
        return Attempt(pending, ask)

    def _channel_to(self, posted: PostedOffer, worst: Atoms) -> Flow[OpenChannel]:
        """One that is good for so many atoms more."""
        channel = self.purse.open_channel(posted.offer.provider)
        while not channel.confirmed:
            yield from catch_up(self.sender, channel, endpoint_of(posted.offer))
            channel = self.purse.open_channel(posted.offer.provider)
        yield from self.sender.grant(channel, posted, worst)
        return channel

    def _within_budget(self, ask: Ask, posted: PostedOffer) -> Ask:
        """The same, limited to what the budget affords where the caller set no limit."""
        per_request = self.purse.budget.per_request
        if ask.limit is not None or worst_cost(ask, posted.offer) <= per_request:
            return ask
        spent, _ = self.purse.spending()
        affordable = Atoms(min(per_request, self.purse.budget.total - spent))
        limit = affordable_limit(ask, posted.offer, affordable)
        return ask.limited(max(limit, type(limit)(1)))
