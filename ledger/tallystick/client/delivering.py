"""One attempt's answer: from the first byte sent to one provider to the last byte received and shown."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

import httpx2
import orjson

from tallystick.chain.errors import ChainError
from tallystick.client.ask import CHAT_PATH, Ask
from tallystick.client.attempts import Attempt, Call, LostAttempts
from tallystick.client.continuing import SoFar
from tallystick.client.errors import AnswerCut, ProviderRefused, ProviderUnreachable
from tallystick.client.flow import (
    Drop,
    Emit,
    Exchange,
    Flow,
    Respond,
    Sleep,
    hurrying,
    read_all,
    was_hung_up_on,
)
from tallystick.client.outcome import EXTENSION, Outcome, Outcomes
from tallystick.client.purse import OpenChannel, Purse
from tallystick.client.quotes import Quotes
from tallystick.client.receiver import Receiver
from tallystick.client.sending import BODY_LIMIT, UNSENT, ChannelGone, Sender
from tallystick.client.sinks import Continuable, Gather, Relay, Sink, Unscored, unscored, with_outcome
from tallystick.protocol.errors import FormatError, MarketError
from tallystick.protocol.receipt import Finish
from tallystick.protocol.units import Milliseconds, Tokens, to_hex
from tallystick.protocol.wire import QUOTE, RECEIPT, read_quote_text

RESUMING: Final = (0.05, 0.4, 1.0)
"""Seconds before each repetition under the same nonce when an answer is lost on the way."""
_RESUMING_ALONE: Final = (*RESUMING, 1.0, 2.0, 4.0)
"""The same where no other provider could serve instead: this one may be starting again."""
_PASSED_ON: Final = ("content-type", "x-request-id", "cache-control", "retry-after")


class Settler(Protocol):
    def settle(self, channel: OpenChannel, *, within: float) -> None:
        """Acknowledges, and clears up what is open, in so many seconds."""


class Shown:
    """What the caller of one request has been told so far, whoever serves it."""

    __slots__ = ("_ask", "attempt", "gathered", "hedged", "left", "outcome", "said", "sink", "told")

    def __init__(self, ask: Ask, *, hedged: bool = False):
        self._ask = ask
        self.hedged = hedged
        """Somebody else may be asked for the same: an answer that is lost is not what the caller had."""
        self.told = False
        """The head of its stream is out: no other status can follow."""
        self.attempt: Attempt | None = None
        """The last one."""
        self.outcome: Outcome | None = None
        self.left: list[Outcome] = []
        """Of those that were asked before, and may cost something."""
        self.sink: Sink
        self.gathered: Gather | None
        self.said: SoFar | None
        self.start()

    def start(self) -> None:
        """Nothing of the answer is here yet, or what is here is void."""
        ask = self._ask
        if ask.stream:
            self.sink = Relay(shows_usage=ask.shows_usage, shows_running_usage=ask.shows_running_usage)
            self.gathered = None
        else:
            self.sink = self.gathered = Gather(chat=ask.path == CHAT_PATH, limit=BODY_LIMIT)
        self.said = None
        if self.hides_scores:
            self.sink = Unscored(self.sink)
        if ask.continues:
            self.sink = continuable = Continuable(self.sink)
            self.said = continuable.said

    @property
    def hides_scores(self) -> bool:
        """The caller did not ask for log-probabilities, and they come."""
        return "logprobs" in self._ask.added

    def begin(self, attempt: Attempt, *, goes_on: bool) -> Outcome:
        """The attempt's outcome; `goes_on`: with the rest of what others began."""
        self.attempt, pending = attempt, attempt.pending
        place = pending.posted, pending.channel.id, pending.nonce, pending.worst
        if goes_on and self.outcome is not None:
            self.outcome.go_on(*place)
            return self.outcome
        if not self.told:
            self.start()
        self.leave()
        self.outcome = Outcome(*place, left=self.left, second=self._ask.again is not None)
        return self.outcome

    def leave(self) -> None:
        """Whoever was asked last and has not said what came of it is asked no more by this caller."""
        if self.outcome is not None and not self.outcome.done:
            self.outcome.left = []  # They are the next one's.
            self.left.append(self.outcome)
            self.outcome = None

    def rest(self) -> Ask | None:
        """The request for what is missing; None: nobody can go on, or nobody may."""
        attempt = self.attempt
        if self.said is None or attempt is None or (self.outcome is not None and self.outcome.refusal):
            return None
        return self.said.rest(attempt.ask, Tokens(attempt.output_tokens), Tokens(attempt.input_tokens))


class Delivery:
    """Of one payer."""

    def __init__(
        self,
        *,
        purse: Purse,
        sender: Sender,
        receiver: Receiver,
        quotes: Quotes,
        settler: Settler,
        now: Callable[[], Milliseconds],
        lost: LostAttempts,
        outcomes: Outcomes,
    ):
        self._purse = purse
        self._sender = sender
        self._receiver = receiver
        self._quotes = quotes
        self._settler = settler
        self._now = now
        self._lost = lost
        self._outcomes = outcomes

    def deliver(self, attempt: Attempt, call: Call, shown: Shown) -> Flow[None]:
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
        outcome = shown.begin(attempt, goes_on=attempt.goes_on)
        for part in outcome.earlier[-1:]:
            self._outcomes.watch(part)
        self._purse.active.add(pending.nonce)
        try:
            yield from self._resuming(attempt, call, shown, outcome)
        except (ProviderRefused, ChannelGone):
            outcome.done = True
            raise
        except ProviderUnreachable:
            outcome.done = not attempt.sent
            if attempt.left:
                self._limit(attempt, outcome)
            raise
        except httpx2.TransportError:
            if attempt.hung_up and shown.said is not None:  # Its caller will not come back for the rest.
                self._limit(attempt, outcome)
            raise
        finally:
            self._outcomes.watch(outcome)
            outcome.quote, outcome.pace = attempt.quote, attempt.observed
            self._purse.active.discard(pending.nonce)
            lost = not (outcome.done or shown.said is not None or shown.hedged or attempt.left)
            whole = not outcome.cut and not outcome.earlier
            if lost or (call.idempotency_key and outcome.done and whole):
                self._lost.keep(call, attempt)
            self._settler.settle(pending.channel, within=0.03 if outcome.done else 0.3)
        if outcome.cut:
            raise AnswerCut("The provider ended the answer before its end.", streamed=attempt.ask.stream)

    def _limit(self, attempt: Attempt, outcome: Outcome) -> None:
        """Before anybody else is asked: what came of it is paid, and no work that nobody waits for."""
        outcome.most = attempt.limited = attempt.most_due
        self._purse.limit(attempt.pending, attempt.limited)

    def _resuming(self, attempt: Attempt, call: Call, shown: Shown, outcome: Outcome) -> Flow[None]:
        attempt.shown, begun = 0, False
        pauses = _RESUMING_ALONE if attempt.alone else RESUMING if shown.said is None else RESUMING[:1]
        for pause in (*pauses, None):
            exchange = None
            try:
                accepted = self._sender.accepted(attempt, call)
                if attempt.connect_s is not None:
                    accepted = hurrying(accepted, attempt.connect_s)
                attempt.exchange = exchange = yield from accepted
                yield from self._promised(attempt, exchange)
                if attempt.ask.stream and not shown.told:
                    shown.told = True
                    yield Respond(200, self._head(exchange, outcome), None, {EXTENSION: outcome})
                begun = attempt.ask.stream or shown.said is not None
                yield from self._receive(exchange, attempt, outcome, shown)
                return
            except UNSENT as error:
                if begun:
                    raise
                if attempt.sent and attempt.alone and pause is not None:
                    yield Sleep(pause)  # it had the request: it may come back
                    continue
                if not attempt.sent:
                    self._purse.settle_unpaid(attempt.pending, "void")
                endpoint = attempt.pending.posted.offer.endpoint
                raise ProviderUnreachable(f"{endpoint}: {error}") from error
            except MarketError as error:
                if not begun:
                    raise
                raise httpx2.RemoteProtocolError(error.message) from error
            except ChannelGone as error:
                if not begun:
                    raise
                raise httpx2.RemoteProtocolError("The provider has forgotten the answer.") from error
            except httpx2.TimeoutException as error:
                if exchange is not None:
                    yield Drop(exchange)
                elif attempt.leave_s is not None and not begun and isinstance(error, httpx2.ReadTimeout):
                    attempt.left = True
                    raise ProviderUnreachable("The provider says nothing.") from error
                raise  # the caller's patience, not ours
            except httpx2.TransportError as error:
                if exchange is not None:
                    attempt.hung_up = was_hung_up_on(error)
                    yield Drop(exchange)
                if pause is None or outcome.done:
                    raise
            yield Sleep(pause)

    def _receive(self, exchange: Exchange, attempt: Attempt, outcome: Outcome, shown: Shown) -> Flow[None]:
        sink, gathered = shown.sink, shown.gathered
        reception = self._receiver.reception(attempt.pending, attempt.ask)
        outcome.receipts.clear()
        attempt.begin_anew()
        resumed = attempt.shown > 0
        if exchange.headers.get("content-type", "").startswith("text/event-stream"):
            yield from self._receiver.read_stream(exchange, attempt, reception, outcome, sink)
            if resumed and reception.final is not None and reception.final.message.finish == Finish.CANCELLED:
                raise httpx2.RemoteProtocolError(
                    "The connection broke, and the provider ended the answer there."
                )
            if last := sink.end(outcome):
                yield Emit(last)
            elif gathered is not None and outcome.cut and not reception.delivered:
                raise ProviderUnreachable("The provider's answer is none.")
            elif gathered is not None and not outcome.cut:
                body = with_outcome(orjson.dumps(gathered.whole.answer()), outcome)
                yield self._whole(exchange, outcome, body)
        else:
            began_at = self._now()
            limit = BODY_LIMIT if attempt.ask.answer_bytes is None else attempt.ask.answer_bytes
            body = yield from read_all(exchange, limit, self._now)
            took = self._now() - began_at
            yield from self._receiver.read_whole(exchange, body, attempt, reception, outcome, took=took)
            if outcome.cut and not reception.delivered:
                raise ProviderUnreachable("The provider's answer is none.")
            if not outcome.cut:
                body = unscored(body) if shown.hides_scores else body
                yield self._whole(exchange, outcome, with_outcome(body, outcome))

    def _promised(self, attempt: Attempt, exchange: Exchange) -> Flow[None]:
        """Takes down the quote under which it was accepted. What is none is as good as none: its provider is
        held to what was expected then."""
        text = None if attempt.expect is None else exchange.headers.get(QUOTE)
        if text is None or attempt.quote is not None:
            return
        pending = attempt.pending
        with suppress(FormatError, ChainError):
            signed = read_quote_text(text)
            attempt.quote = yield from self._quotes.believed(
                pending.posted, pending.channel, signed, request_hash=pending.request_hash
            )

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
