"""How an answer is read: each payload to the caller, each receipt judged, then kept or refused.

Whether a receipt speaks of its answer is for `reception` to say; whether it follows from those before, for
the purse. What is accepted here may be acknowledged.
"""

from collections.abc import Callable

import httpx2

from tallystick.client.ask import Ask
from tallystick.client.attempts import Attempt
from tallystick.client.errors import ProviderUnreachable
from tallystick.client.events import Done, Lines, Other, Payload, ReceiptText
from tallystick.client.flow import Emit, Exchange, Flow, read, run
from tallystick.client.listing import Listing
from tallystick.client.outcome import Outcome
from tallystick.client.purse import Pending, Purse
from tallystick.client.reception import Reception
from tallystick.client.sinks import Sink
from tallystick.crash import point
from tallystick.protocol.errors import BudgetError, MarketError, ReceiptError, SignatureError, WrongSigner
from tallystick.protocol.wire import RECEIPT, read_receipt_text


class Truncated(httpx2.RemoteProtocolError):
    """The body of a stream is complete, the answer in it is not."""


class Receiver:
    """Reads answers on behalf of one purse."""

    def __init__(self, *, purse: Purse, listing: Listing, settle: Callable[..., None]):
        self.purse = purse
        self.listing = listing
        self._settle = settle

    def reception(self, pending: Pending, ask: Ask) -> Reception:
        return Reception(
            domain=self.purse.domain,
            posted=pending.posted,
            channel_id=pending.channel.id,
            request_hash=pending.request_hash,
            ask=ask,
            worst=pending.worst,
        )

    def read_stream(
        self, exchange: Exchange, attempt: Attempt, reception: Reception, outcome: Outcome, sink: Sink
    ) -> Flow[None]:
        """Reads a stream to its end; raises Truncated where the provider ends it before."""
        lines, done = Lines(), False
        while data := (yield from read(exchange)):
            out: list[bytes] = []
            for event in lines.feed(data):
                match event:
                    case Payload(payload):
                        chunk = reception.add(payload)
                        if reception.payloads > attempt.shown:
                            attempt.shown = reception.payloads
                            attempt.shown_hash = reception.transcript.response_hash
                            out.append(sink.payload(payload, chunk))
                        elif reception.payloads == attempt.shown:
                            self._require_same_beginning(attempt, reception)
                    case ReceiptText(text):
                        yield from self._take(text, attempt, reception, outcome)
                    case Other(line):
                        out.append(sink.other(line))
                    case Done():
                        done = True
            if shown := b"".join(out):
                yield Emit(shown)
                point("answer.shown")
        if not done and reception.final is None:
            raise Truncated("The stream broke off before its end.")
        self._conclude(attempt, reception, outcome)

    def read_whole(
        self, exchange: Exchange, body: bytes, attempt: Attempt, reception: Reception, outcome: Outcome
    ) -> Flow[None]:
        """Judges an answer that came in one piece."""
        reception.add(body)
        if (text := exchange.headers.get(RECEIPT)) is not None:
            yield from self._take(text, attempt, reception, outcome)
        self._conclude(attempt, reception, outcome)

    def _take(self, text: str, attempt: Attempt, reception: Reception, outcome: Outcome) -> Flow[None]:
        """One receipt: accepted, or refused for good, or left to be found again where the budget has no room
        for it. The caller's answer goes on either way."""
        if outcome.refusal is not None:
            return
        pending = attempt.pending
        try:
            signed = read_receipt_text(text)
        except MarketError:
            return  # unreadable is as good as missing
        try:
            try:
                proven = reception.check(signed)
            except WrongSigner:
                yield from self._refresh_key(reception)
                proven = reception.check(signed)
            final = reception.final is not None
            point("receipt.checked")
            self.purse.accept(pending, proven, final=final)
        except MarketError as error:
            outcome.refusal = error
            if isinstance(error, ReceiptError | SignatureError):
                self.purse.evidence.refuse(pending.channel, signed, error, nonce=pending.nonce)
            self.purse.settle_unpaid(pending, "unbilled" if isinstance(error, BudgetError) else "refused")
            return
        outcome.receipts.extend(proven)
        if not final:
            self._settle(pending.channel, within=0)

    def _conclude(self, attempt: Attempt, reception: Reception, outcome: Outcome) -> None:
        """The answer is here to its end."""
        if reception.final is None and outcome.refusal is None:
            self.purse.settle_unpaid(attempt.pending, "unbilled" if reception.delivered else "void")
        outcome.done, outcome.cut = True, reception.cut

    def _require_same_beginning(self, attempt: Attempt, reception: Reception) -> None:
        if reception.transcript.response_hash != attempt.shown_hash:
            raise ProviderUnreachable("The provider tells another answer the second time.")

    def _refresh_key(self, reception: Reception) -> Flow[None]:
        """The provider may have named another receipt key on chain since its offers were read."""
        yield from run(self.listing.refresh)
        offers = yield from self.listing.offers()
        reception.follow_key(offers)
