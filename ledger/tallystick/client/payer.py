"""A payer at work: it chooses a provider, pays, receives, checks. One flow for threads and event loops.

`call` is the whole of a paid request, from the caller's body to the caller's answer. What it sends is made in
`sending`, what it receives is read by the `receiver`, what it owes is kept in the `purse`; what can wait
(bare vouchers, answers that were cut) is left to the `clerk`.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

import httpx2
import orjson

from tallystick.chain.local import LOCAL_CHAIN_IDS
from tallystick.client.ask import Ask, affordable_limit, read_ask, worst_cost
from tallystick.client.attempts import Attempt, Call, LostAttempts
from tallystick.client.choose import Candidate, Choice, Policy, Wanted, choose
from tallystick.client.errors import AnswerCut, NoEligibleOffer, ProviderRefused, ProviderUnreachable
from tallystick.client.flow import Emit, Exchange, Flow, Respond, Sleep, read_all
from tallystick.client.listing import AGAIN_AFTER, GOOD_FOR, Listing
from tallystick.client.mending import catch_up
from tallystick.client.outcome import EXTENSION, Outcome, OutcomeListener
from tallystick.client.purse import OpenChannel, Purse
from tallystick.client.receiver import Receiver
from tallystick.client.refusals import ROOM
from tallystick.client.sending import BODY_LIMIT, UNSENT, ChannelGone, Sender, endpoint_of
from tallystick.client.sinks import Gather, Relay, Sink, with_outcome
from tallystick.ports import PostedOffer, Recount
from tallystick.protocol.errors import (
    BudgetError,
    MarketError,
    TotalBudgetExceeded,
    WorstCaseExceedsCredit,
)
from tallystick.protocol.receipt import Finish
from tallystick.protocol.units import Atoms, Milliseconds, Timestamp, to_hex
from tallystick.protocol.voucher import request_hash
from tallystick.protocol.wire import RECEIPT

_RESUMING: Final = (0.05, 0.4, 1.0)
"""Seconds before each repetition under the same nonce when an answer is lost on the way."""
_RESUMING_ALONE: Final = (*_RESUMING, 1.0, 2.0, 4.0)
"""The same where no other provider could serve instead: this one may be starting again."""
_PASSED_ON: Final = ("content-type", "x-request-id", "cache-control", "retry-after")


class Clerk(Protocol):
    """Does what can wait."""

    def settle(self, channel: OpenChannel, *, within: float) -> None:
        """Acknowledges, and clears up what is open, in so many seconds."""

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
        policy: Policy,
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
        self._clerk = clerk
        self.policy = policy
        self.now = now
        self._on_outcome = on_outcome
        self._lost = LostAttempts()
        self.local = purse.domain.chain_id in LOCAL_CHAIN_IDS

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
                yield from self._deliver(lost, call)
                return
            except (ProviderUnreachable, ChannelGone):
                pass  # out of reach still: the clerk goes on looking for it
        yield from self._try_candidates(ask, call)

    def _try_candidates(self, ask: Ask, call: Call) -> Flow[None]:
        started, pause = self.now(), 0.005
        failure: MarketError | None = None
        gone: set[bytes] = set()
        while True:
            patience = 0
            ordering = yield from self._ordering(ask, gone)
            for choice in ordering:
                posted = choice.posted
                try:
                    yield from self._try(posted, ask, call, alone=len(ordering) == 1)
                    return
                except BudgetError as error:
                    failure = failure or error
                    if isinstance(error, TotalBudgetExceeded) and self.purse.spending()[1] > 0:
                        patience = ROOM
                except ProviderRefused as error:
                    if not error.reason and 400 <= error.status < 500 and error.status not in (408, 429):
                        raise  # the engine's: another engine would say the same
                    failure = error
                    patience = max(patience, error.patience)
                    if not error.patience:
                        gone.add(posted.offer_hash)
                except AnswerCut:
                    raise  # to buy it a second time is the caller's to decide
                except MarketError as error:
                    failure = failure or error
                    gone.add(posted.offer_hash)
            if self.now() - started >= patience:
                raise failure or NoEligibleOffer(f"Nobody offers {ask.model!r} now.", required=ask.model)
            yield Sleep(pause)
            pause = min(pause * 1.6, 0.25)

    def _ordering(self, ask: Ask, gone: set[bytes]) -> Flow[Sequence[Choice]]:
        wanted = Wanted(
            model=ask.model,
            input_tokens=ask.input_estimate,
            output_tokens=ask.output_limit,
            seed=secrets.randbits(64),
        )
        for at_most in (GOOD_FOR, AGAIN_AFTER):
            offers = yield from self.listing.offers(at_most=at_most)
            left = [Candidate(posted=posted) for posted in offers if posted.offer_hash not in gone]
            now = Timestamp(self.now() // 1000)
            chosen = choose(
                left, wanted, self.policy, now=now, local=self.local, avoided=self.purse.evidence.avoided()
            )
            if chosen or gone:
                break
        if self.listing.wants_refresh:
            self._clerk.refresh()
        return chosen

    def _try(self, posted: PostedOffer, ask: Ask, call: Call, *, alone: bool) -> Flow[None]:
        """This provider; once more over a new channel, or as a stream, where that is what it takes."""
        stream = ask.stream
        for _ in range(3):
            attempt = yield from self._begin(posted, ask, stream=stream)
            attempt.alone = alone
            try:
                yield from self._deliver(attempt, call)
                return
            except ChannelGone:
                continue
            except ProviderRefused as error:
                if error.reason != WorstCaseExceedsCredit.code or stream:
                    raise
                stream = True
        raise ProviderUnreachable("The provider keeps closing its channels.")

    def _begin(self, posted: PostedOffer, ask: Ask, *, stream: bool) -> Flow[Attempt]:
        """A request with its atoms reserved and its channel granted; nothing is sent yet."""
        ask = self._within_budget(ask, posted)
        worst = worst_cost(ask, posted.offer)
        self.purse.budget.require_affordable(worst)
        streamed = stream or worst > posted.offer.credit
        channel = self.purse.open_channel(posted.offer.provider)
        while not channel.confirmed:
            yield from catch_up(self.sender, channel, endpoint_of(posted.offer))
            channel = self.purse.open_channel(posted.offer.provider)
        yield from self.sender.grant(channel, posted, worst)
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

    def _within_budget(self, ask: Ask, posted: PostedOffer) -> Ask:
        """The same, limited to what the budget affords where the caller set no limit."""
        per_request = self.purse.budget.per_request
        if ask.limit is not None or worst_cost(ask, posted.offer) <= per_request:
            return ask
        spent, _ = self.purse.spending()
        affordable = Atoms(min(per_request, self.purse.budget.total - spent))
        limit = affordable_limit(ask, posted.offer, affordable)
        return ask.limited(max(limit, type(limit)(1)))

    # ------------------------------------------------------------------------------------------- the answer

    def _deliver(self, attempt: Attempt, call: Call) -> Flow[None]:
        """From the first byte sent to the last byte received.

        Raises
        ------
        ProviderRefused, ChannelGone :
            The caller was told nothing, and nothing is owed.
        ProviderUnreachable :
            The same, unless something had been sent: then the clerk asks what became of it.
        AnswerCut :
            It ended before its end; what came of it is paid, and emitted where it is streamed.
        """
        pending = attempt.pending
        outcome = Outcome(pending.posted, pending.channel.id, pending.nonce)
        self.purse.active.add(pending.nonce)
        try:
            yield from self._deliver_resuming(attempt, call, outcome)
        except (ProviderRefused, ChannelGone):
            outcome.done = True
            raise
        except ProviderUnreachable:
            outcome.done = not attempt.sent
            raise
        finally:
            self.purse.active.discard(pending.nonce)
            if not outcome.done or (call.idempotency_key and not outcome.cut):
                self._lost.keep(call, attempt)
            self._clerk.settle(pending.channel, within=0.03 if outcome.done else 0.3)
        if self._on_outcome is not None:
            self._on_outcome(outcome)
        if outcome.cut:
            raise AnswerCut("The provider ended the answer before its end.", streamed=attempt.ask.stream)

    def _deliver_resuming(self, attempt: Attempt, call: Call, outcome: Outcome) -> Flow[None]:
        pending = attempt.pending
        sink: Sink
        if attempt.ask.stream:
            ask = attempt.ask
            sink = Relay(shows_usage=ask.shows_usage, shows_running_usage=ask.shows_running_usage)
        else:
            sink = Gather(chat=attempt.ask.path.endswith("chat/completions"), limit=BODY_LIMIT)
        attempt.shown = 0
        told = False
        for pause in (*(_RESUMING_ALONE if attempt.alone else _RESUMING), None):
            try:
                exchange = yield from self.sender.accepted(attempt, call)
                if attempt.ask.stream and not told:
                    yield Respond(200, self._head(exchange, outcome), None, {EXTENSION: outcome})
                    told = True
                yield from self._receive(exchange, attempt, outcome, sink)
                return
            except UNSENT as error:
                if told:
                    raise
                if attempt.sent and pause is not None:
                    yield Sleep(pause)  # it had the request: it may come back
                    continue
                if not attempt.sent:
                    self.purse.settle_unpaid(pending, "void")
                raise ProviderUnreachable(f"{pending.posted.offer.endpoint}: {error}") from error
            except MarketError as error:
                if not told:
                    raise
                raise httpx2.RemoteProtocolError(error.message) from error
            except ChannelGone as error:
                if not told:
                    raise
                raise httpx2.RemoteProtocolError("The provider has forgotten the answer.") from error
            except httpx2.TimeoutException:
                raise  # the caller's patience, not ours
            except httpx2.TransportError:
                if pause is None or outcome.done:
                    raise
            yield Sleep(pause)

    def _receive(self, exchange: Exchange, attempt: Attempt, outcome: Outcome, sink: Sink) -> Flow[None]:
        reception = self.receiver.reception(attempt.pending, attempt.ask)
        outcome.receipts.clear()
        resumed = attempt.shown > 0
        if exchange.headers.get("content-type", "").startswith("text/event-stream"):
            yield from self.receiver.read_stream(exchange, attempt, reception, outcome, sink)
            if resumed and reception.final is not None and reception.final.message.finish == Finish.CANCELLED:
                raise httpx2.RemoteProtocolError(
                    "The connection broke, and the provider ended the answer there."
                )
            if last := sink.end(outcome):
                yield Emit(last)
            elif isinstance(sink, Gather) and outcome.cut and not reception.delivered:
                raise ProviderUnreachable("The provider's answer is none.")
            elif isinstance(sink, Gather) and not outcome.cut:
                body = with_outcome(orjson.dumps(sink.whole.answer()), outcome)
                yield self._whole(exchange, outcome, body)
        else:
            body = yield from read_all(exchange, BODY_LIMIT, self.now)
            yield from self.receiver.read_whole(exchange, body, attempt, reception, outcome)
            if outcome.cut and not reception.delivered:
                raise ProviderUnreachable("The provider's answer is none.")
            if not outcome.cut:
                yield self._whole(exchange, outcome, with_outcome(body, outcome))

    # ------------------------------------------------------------------------------------------- shapes

    def _head(self, exchange: Exchange, outcome: Outcome) -> dict[str, str]:
        kept = {name: value for name in _PASSED_ON if (value := exchange.headers.get(name)) is not None}
        return kept | {"tallystick-provider": to_hex(outcome.provider)}

    def _whole(self, exchange: Exchange, outcome: Outcome, body: bytes) -> Respond:
        headers = self._head(exchange, outcome) | {
            "content-type": "application/json",
            "tallystick-cost": str(outcome.cost),
        }
        if outcome.refusal is not None:
            headers["tallystick-refused"] = outcome.refusal.code
        elif (text := exchange.headers.get(RECEIPT)) is not None:
            headers[RECEIPT.lower()] = text
        return Respond(200, headers, body, {EXTENSION: outcome})
