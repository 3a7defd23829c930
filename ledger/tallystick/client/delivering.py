"""One attempt's answer: from the first byte sent to one provider to the last byte received and shown."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

import httpx2
import orjson

from tallystick.chain.errors import ChainError
from tallystick.client.ask import Ask
from tallystick.client.attempts import Attempt, Call, LostAttempts
from tallystick.client.errors import AnswerCut, ProviderRefused, ProviderUnreachable
from tallystick.client.flow import Emit, Exchange, Flow, Respond, Sleep, hurrying, read_all
from tallystick.client.outcome import EXTENSION, Outcome
from tallystick.client.purse import OpenChannel, Purse
from tallystick.client.quotes import Quotes
from tallystick.client.receiver import Receiver
from tallystick.client.sending import BODY_LIMIT, UNSENT, ChannelGone, Sender
from tallystick.client.sinks import Gather, Relay, Sink, with_outcome
from tallystick.protocol.errors import FormatError, MarketError
from tallystick.protocol.receipt import Finish
from tallystick.protocol.units import Milliseconds, to_hex
from tallystick.protocol.wire import QUOTE, RECEIPT, read_quote_text

_RESUMING: Final = (0.05, 0.4, 1.0)
"""Seconds before each repetition under the same nonce when an answer is lost on the way."""
_RESUMING_ALONE: Final = (*_RESUMING, 1.0, 2.0, 4.0)
"""The same where no other provider could serve instead: this one may be starting again."""
_PASSED_ON: Final = ("content-type", "x-request-id", "cache-control", "retry-after")


class Settler(Protocol):
    def settle(self, channel: OpenChannel, *, within: float) -> None:
        """Acknowledges, and clears up what is open, in so many seconds."""


class Shown:
    """What the caller of one request has been told so far, whoever serves it."""

    __slots__ = ("outcome", "sink", "told")

    def __init__(self, ask: Ask):
        self.told = False
        """The head of its stream is out: no other status can follow."""
        self.outcome: Outcome | None = None
        self.sink: Sink
        if ask.stream:
            self.sink = Relay(shows_usage=ask.shows_usage, shows_running_usage=ask.shows_running_usage)
        else:
            self.sink = Gather(chat=ask.path.endswith("chat/completions"), limit=BODY_LIMIT)


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
    ):
        self._purse = purse
        self._sender = sender
        self._receiver = receiver
        self._quotes = quotes
        self._settler = settler
        self._now = now
        self._lost = lost

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
        outcome = shown.outcome = Outcome(pending.posted, pending.channel.id, pending.nonce)
        self._purse.active.add(pending.nonce)
        try:
            yield from self._resuming(attempt, call, shown, outcome)
        except (ProviderRefused, ChannelGone):
            outcome.done = True
            raise
        except ProviderUnreachable:
            outcome.done = not attempt.sent
            raise
        finally:
            outcome.quote, outcome.pace = attempt.quote, attempt.observed
            self._purse.active.discard(pending.nonce)
            if not outcome.done or (call.idempotency_key and not outcome.cut):
                self._lost.keep(call, attempt)
            self._settler.settle(pending.channel, within=0.03 if outcome.done else 0.3)
        if outcome.cut:
            raise AnswerCut("The provider ended the answer before its end.", streamed=attempt.ask.stream)

    def _resuming(self, attempt: Attempt, call: Call, shown: Shown, outcome: Outcome) -> Flow[None]:
        attempt.shown = 0
        for pause in (*(_RESUMING_ALONE if attempt.alone else _RESUMING), None):
            try:
                accepted = self._sender.accepted(attempt, call)
                if attempt.connect_s is not None:
                    accepted = hurrying(accepted, attempt.connect_s)
                exchange = yield from accepted
                yield from self._promised(attempt, exchange)
                if attempt.ask.stream and not shown.told:
                    shown.told = True
                    yield Respond(200, self._head(exchange, outcome), None, {EXTENSION: outcome})
                yield from self._receive(exchange, attempt, outcome, shown.sink)
                return
            except UNSENT as error:
                if shown.told:
                    raise
                if attempt.sent and attempt.alone and pause is not None:
                    yield Sleep(pause)  # it had the request: it may come back
                    continue
                if not attempt.sent:
                    self._purse.settle_unpaid(attempt.pending, "void")
                endpoint = attempt.pending.posted.offer.endpoint
                raise ProviderUnreachable(f"{endpoint}: {error}") from error
            except MarketError as error:
                if not shown.told:
                    raise
                raise httpx2.RemoteProtocolError(error.message) from error
            except ChannelGone as error:
                if not shown.told:
                    raise
                raise httpx2.RemoteProtocolError("The provider has forgotten the answer.") from error
            except httpx2.TimeoutException:
                raise  # the caller's patience, not ours
            except httpx2.TransportError:
                if pause is None or outcome.done:
                    raise
            yield Sleep(pause)

    def _receive(self, exchange: Exchange, attempt: Attempt, outcome: Outcome, sink: Sink) -> Flow[None]:
        reception = self._receiver.reception(attempt.pending, attempt.ask)
        outcome.receipts.clear()
        resumed = attempt.shown > 0
        if exchange.headers.get("content-type", "").startswith("text/event-stream"):
            yield from self._receiver.read_stream(exchange, attempt, reception, outcome, sink)
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
            began_at = self._now()
            body = yield from read_all(exchange, BODY_LIMIT, self._now)
            attempt.wait(self._now() - began_at, 0)
            yield from self._receiver.read_whole(exchange, body, attempt, reception, outcome)
            if outcome.cut and not reception.delivered:
                raise ProviderUnreachable("The provider's answer is none.")
            if not outcome.cut:
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
