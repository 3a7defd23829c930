"""A payer at work: it chooses a provider, pays, receives, checks. One flow for threads and event loops.

`call` is the whole of a paid request, from the caller's body to the caller's answer. What it sends is made in
`sending`, what it receives is read by the `receiver`, what it owes is kept in the `purse`; what can wait
(bare vouchers, answers that were cut) is left to the `clerk`.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, Protocol

from tallystick.chain.local import LOCAL_CHAIN_IDS
from tallystick.client.ask import Ask, affordable_limit, read_ask, worst_cost
from tallystick.client.attempts import Attempt, Call, LostAttempts
from tallystick.client.auditing import Auditing
from tallystick.client.choose import Rule
from tallystick.client.delivering import Delivery, Settler, Shown
from tallystick.client.duelling import Duelling
from tallystick.client.errors import AnswerCut, MalformedRequest, ProviderUnreachable
from tallystick.client.flow import Flow
from tallystick.client.listing import Listing
from tallystick.client.mending import catch_up
from tallystick.client.outcome import Outcome, OutcomeListener, Outcomes
from tallystick.client.prospects import Prospects
from tallystick.client.purse import OpenChannel, Purse
from tallystick.client.quotes import Quotes
from tallystick.client.ratings import Ratings
from tallystick.client.receiver import Receiver
from tallystick.client.record import Record
from tallystick.client.searching import Search
from tallystick.client.sending import ChannelGone, Sender, endpoint_of
from tallystick.ports import Outlook, PostedOffer, Recount
from tallystick.protocol.errors import MarketError
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Verified
from tallystick.protocol.units import Address, Atoms, Milliseconds
from tallystick.protocol.voucher import request_hash

_LOG: Final = logging.getLogger("tallystick.client")


class Clerk(Settler, Protocol):
    """Does what can wait."""

    def refresh(self) -> None:
        """Looks the offers up anew."""


class Payer:
    """One wallet buying on one market, within its budget."""

    def __init__(
        self,
        *,
        purse: Purse,
        listing: Listing,
        sender: Sender,
        clerk: Clerk,
        rule: Rule,
        outlook: Outlook,
        now: Callable[[], Milliseconds],
        on_outcome: OutcomeListener | None = None,
        tokenizers: Mapping[str, Recount] = MappingProxyType({}),
        continues: bool = False,
        hedges: bool = False,
        duelling: Duelling | None = None,
        auditing: Auditing | None = None,
        avoids: frozenset[Address] = frozenset(),
    ):
        """`continues` and `hedges`: as of `transport`; `avoids`: as of `open_session`."""
        self._continues, self._hedges = continues, hedges
        self.duelling, self.auditing = duelling, auditing
        self.purse = purse
        self.listing = listing
        self.sender = sender
        self.receiver = Receiver(
            purse=purse, listing=listing, settle=clerk.settle, now=now, tokenizers=tokenizers
        )
        self.now = now
        self._on_outcome = on_outcome
        self._lost = LostAttempts()
        self.outcomes = Outcomes()
        self.quotes = Quotes(sender, listing)
        self._delivery = Delivery(
            purse=purse,
            sender=sender,
            receiver=self.receiver,
            quotes=self.quotes,
            settler=clerk,
            now=now,
            lost=self._lost,
            outcomes=self.outcomes,
        )
        self.local = purse.domain.chain_id in LOCAL_CHAIN_IDS
        self.record = Record()
        self.prospects = Prospects(
            listing=listing,
            outlook=outlook,
            record=self.record,
            avoidance=purse.evidence.avoidance,
            rule=rule,
            avoids=avoids,
            now=now,
            local=self.local,
            refresh=clerk.refresh,
        )

        self.ratings = Ratings(purse=purse, record=self.record, listing=listing, now=now, local=self.local)

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
        ask = replace(
            ask,
            continues=self._continues if ask.continues is None else ask.continues,
            hedges=self._hedges if ask.hedges is None else ask.hedges,
            duels=self._duels(ask.duels),
        )
        ask = self._audited(ask)
        lost = self._lost.take(call)
        if lost is not None:
            try:
                yield from self.deliver(lost, call, Shown(lost.ask))
                return
            except (ProviderUnreachable, ChannelGone):
                pass  # out of reach still: the clerk goes on looking for it
        search = Search(self, ask, call)
        try:
            yield from search.run()
        except MarketError:
            again = search.bare()
            if again is None:
                raise
            yield from again.run()

    def _duels(self, said: bool | None) -> bool:
        """Whether somebody else is to answer too. Whoever asks for it does not pay for it: the payer does."""
        if self.duelling is not None:
            return self.duelling.draws(said)
        if said:
            raise MalformedRequest("`tallystick.duel`: this payer has no budget for duels.")
        return False

    def _audited(self, ask: Ask) -> Ask:
        """The same as it is to be bought, so that it can be audited unless its caller said that it is not."""
        if self.auditing is not None:
            return self.auditing.prepared(ask)
        if ask.audits:
            raise MalformedRequest("`tallystick.audit`: this payer has no budget for audits.")
        return ask

    def deliver(self, attempt: Attempt, call: Call, shown: Shown) -> Flow[None]:
        """As `Delivery.deliver`; what came of it is remembered, and told. A caller that has the end of its
        stream may leave without a word: then, too."""
        attempt.on_first = self._see_first
        try:
            yield from self._delivery.deliver(attempt, call, shown)
        except AnswerCut:
            if shown.said is None and shown.outcome is not None:
                self.tell(shown.outcome)  # nobody goes on with it
            raise
        finally:
            self._see_left(attempt)
            if attempt.concluded and shown.outcome is not None and not shown.outcome.cut:
                self._remember(attempt, shown.outcome.receipt)
                self.tell(shown.outcome)
                self._take_behind(attempt, shown.outcome)

    def _take_behind(self, attempt: Attempt, outcome: Outcome) -> None:
        """For duels and audits. Whatever keeps them from it (a thread too many, the end of the program), the
        caller is to have the answer that was paid for."""
        if attempt.ask.duels and self.duelling is not None:
            try:
                self.duelling.take(attempt, outcome)
            except Exception:  # noqa: BLE001  # whatever it is
                _LOG.exception("duel.failed")
        if attempt.ask.audits and self.auditing is not None:
            try:
                self.auditing.take(attempt, outcome)
            except Exception:  # noqa: BLE001  # whatever it is
                _LOG.exception("audit.failed")

    def _see_first(self, attempt: Attempt) -> None:
        """A stream's first token says already whether its provider keeps its promise."""
        promised = attempt.promised
        if attempt.pending.streamed and promised is not None and attempt.first_ms is not None:
            self.record.begun(attempt.provider, promised, attempt.first_ms / 1000, now=self.now())

    def _see_left(self, attempt: Attempt) -> None:
        """Nobody waits any more for a stream's first token, which was to be here by now: whoever takes
        requests, promises and says nothing must not be asked again before others."""
        promised = attempt.promised
        if attempt.asked_at is None or attempt.first_ms is not None or promised is None:
            return
        waited_s = (attempt.waited_ms + self.now() - attempt.asked_at) / 1000
        if attempt.pending.streamed and not attempt.concluded and waited_s > promised.first_s:
            self.record.begun(attempt.provider, promised, waited_s, now=self.now())

    def _remember(self, attempt: Attempt, receipt: Verified[Receipt] | None) -> None:
        """That it answered, whether it kept its promise, and how long the input was."""
        provider, observed, promised = attempt.provider, attempt.observed, attempt.promised
        self.record.answered(provider, attempt.ask.model, attempt.output_tokens)
        if receipt is not None:
            tokens = receipt.message.input_tokens
            self.record.inputs.learn(attempt.ask.model, attempt.ask.size, tokens, provider)
        if observed is not None and promised is not None:
            self.record.observe(provider, promised, observed, attempt.output_tokens, now=self.now())

    def tell(self, outcome: Outcome) -> None:
        """The caller, once a request is done."""
        if self._on_outcome is not None:
            self._on_outcome(outcome)

    # ------------------------------------------------------------------------------------------- beginning

    def begin(self, posted: PostedOffer, ask: Ask, *, stream: bool, before: Atoms) -> Flow[Attempt]:
        """A request with its atoms reserved and its channel granted; nothing is sent yet. `before`: what the
        same call may have cost elsewhere."""
        ask = self.within_budget(ask, posted, before)
        worst = worst_cost(ask, posted.offer)
        self.purse.budget.require_affordable(Atoms(before + worst))
        streamed = stream or worst > posted.offer.credit
        body = ask.body(stream=streamed)
        ask.require(body, Atoms(before + worst))
        channel = yield from self.channel_to(posted, worst)
        pending = self.purse.reserve(
            channel,
            posted,
            path=ask.path,
            model=ask.model,
            body=body,
            request_hash=request_hash(posted.offer_hash, body),
            streamed=streamed,
            worst=worst,
            pair=ask.pair,
        )
        return Attempt(pending, ask)

    def channel_to(self, posted: PostedOffer, worst: Atoms) -> Flow[OpenChannel]:
        """One that is good for so many atoms more."""
        channel = self.purse.open_channel(posted.offer.provider)
        while not channel.confirmed:
            yield from catch_up(self.sender, channel, endpoint_of(posted.offer))
            channel = self.purse.open_channel(posted.offer.provider)
        yield from self.sender.grant(channel, posted, worst)
        return channel

    def within_budget(self, ask: Ask, posted: PostedOffer, before: Atoms) -> Ask:
        """The same, limited to what the budget affords where the caller set no limit."""
        per_request = self.purse.budget.per_request - before
        if ask.limit is not None or worst_cost(ask, posted.offer) <= per_request:
            return ask
        spent, _ = self.purse.spending()
        affordable = Atoms(min(per_request, self.purse.budget.total - spent))
        limit = affordable_limit(ask, posted.offer, affordable)
        return ask.limited(max(limit, type(limit)(1)))
