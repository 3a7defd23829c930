"""How an answer is read: each payload to the caller, each receipt judged, then kept or refused.

Whether a receipt speaks of its answer is for `reception` to say; whether it follows from those before, for
the purse. What is accepted here may be acknowledged.
"""

from collections.abc import Callable, Mapping

import httpx2

from tallystick.chain.errors import ChainError
from tallystick.client.ask import Ask
from tallystick.client.attempts import Attempt
from tallystick.client.avoidance import Reason
from tallystick.client.errors import BudgetError, ProviderUnreachable
from tallystick.client.events import Done, Lines, Other, Payload, ReceiptText
from tallystick.client.flow import Drop, Emit, Exchange, Flow, read
from tallystick.client.listing import Listing
from tallystick.client.outcome import Outcome
from tallystick.client.purse import OpenChannel, Pending, Purse
from tallystick.client.reception import Reception
from tallystick.client.sinks import Sink
from tallystick.client.stretches import is_timely
from tallystick.crash import point
from tallystick.ports import Recount
from tallystick.protocol.eip712 import digest
from tallystick.protocol.errors import MarketError, ReceiptError, SignatureError, WrongSigner
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.sample import Sample
from tallystick.protocol.signed import Signed, recover
from tallystick.protocol.units import Address, Milliseconds
from tallystick.protocol.wire import RECEIPT, read_receipt_text


class Truncated(httpx2.RemoteProtocolError):
    """The body of a stream is complete, the answer in it is not."""


class Receiver:
    """Reads answers on behalf of one purse."""

    def __init__(
        self,
        *,
        purse: Purse,
        listing: Listing,
        settle: Callable[..., None],
        now: Callable[[], Milliseconds],
        tokenizers: Mapping[str, Recount],
    ):
        self.purse = purse
        self._tokenizers = tokenizers
        self._now = now
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
            recount=self._tokenizers.get(pending.model),
        )

    def read_stream(
        self, exchange: Exchange, attempt: Attempt, reception: Reception, outcome: Outcome, sink: Sink
    ) -> Flow[None]:
        """Reads a stream to its end, or to where it says more than was asked for.

        Raises
        ------
        Truncated :
            The provider ends it before.
        httpx2.ReadTimeout :
            It says nothing new for too long, though bytes come.
        """
        lines, done, waited, asked_at = Lines(), False, 0, self._now()
        attempt.asked_at = asked_at
        while data := (yield from read(exchange)):
            took = self._now() - asked_at
            waited += took
            said = reception.transcript.output_tokens
            out: list[bytes] = []
            for event in lines.feed(data):
                match event:
                    case Payload(payload):
                        chunk = reception.add(payload)
                        attempt.keep(payload)
                        if reception.payloads > attempt.shown:
                            attempt.shown = reception.payloads
                            attempt.shown_hash = reception.transcript.response_hash
                            out.append(sink.payload(payload, chunk))
                        elif reception.payloads == attempt.shown:
                            self._require_same_beginning(attempt, reception)
                    case ReceiptText(text):
                        earliest = attempt.earliest(attempt.waited_ms + took)
                        yield from self._take(text, attempt, reception, outcome, earliest)
                    case Other(line):
                        out.append(sink.other(line))
                    case Done():
                        done = True
            attempt.wait(took, reception.transcript.output_tokens)
            attempt.input_tokens = reception.transcript.input_tokens
            if shown := b"".join(out):
                yield Emit(shown)
                point("answer.shown")
            if reception.runs_over:
                yield Drop(exchange)
                done = True
                break
            waited = 0 if reception.transcript.output_tokens > said else waited
            if exchange.patience is not None and waited > exchange.patience * 1000:
                yield Drop(exchange)
                raise httpx2.ReadTimeout("The provider says nothing new.")
            attempt.asked_at = asked_at = self._now()
        if not done and reception.final is None:
            raise Truncated("The stream broke off before its end.")
        self._conclude(attempt, reception, outcome)

    def read_whole(
        self,
        exchange: Exchange,
        body: bytes,
        attempt: Attempt,
        reception: Reception,
        outcome: Outcome,
        *,
        took: int = 0,
    ) -> Flow[None]:
        """Judges an answer that came in one piece, whose receipt was signed before its head was sent; `took`:
        milliseconds that its body was on its way after that."""
        earliest = attempt.earliest(attempt.waited_ms)
        reception.add(body)
        attempt.keep(body)
        attempt.wait(took, reception.transcript.output_tokens)
        if (text := exchange.headers.get(RECEIPT)) is not None:
            yield from self._take(text, attempt, reception, outcome, earliest)
        self._conclude(attempt, reception, outcome)

    def _take(
        self, text: str, attempt: Attempt, reception: Reception, outcome: Outcome, earliest: Milliseconds
    ) -> Flow[None]:
        """One receipt: accepted, or refused for good, or left to be found again where the budget has no room
        for it or the chain cannot say whose it is. The caller's answer goes on either way. `earliest`: before
        which its provider cannot have signed it."""
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
                known = reception.receipt_key
                reception.receipt_key = yield from self.receipt_key(pending.channel, signed, known)
                proven = reception.check(signed)
            final = reception.final is not None
            point("receipt.checked")
            self.purse.accept(pending, proven, final=final)
        except MarketError as error:
            outcome.refusal = error
            if isinstance(error, ReceiptError | SignatureError):
                self.purse.evidence.refuse(pending.channel, signed, error, nonce=pending.nonce)
            unjudged = isinstance(error, BudgetError | ChainError)
            self.purse.settle_unpaid(pending, "unbilled" if unjudged else "refused")
            return
        outcome.receipts.extend(proven)
        if not is_timely(signed.message, earliest, self._now()):
            self.purse.evidence.avoidance.note(attempt.provider, Reason.MISDATED)
        if final:
            outcome.sample = _sample(attempt, reception, signed)
        else:
            self._settle(pending.channel, within=0)

    def _conclude(self, attempt: Attempt, reception: Reception, outcome: Outcome) -> None:
        """The answer is here to its end."""
        if reception.final is None and outcome.refusal is None:
            self.purse.settle_unpaid(attempt.pending, "unbilled" if reception.delivered else "void")
        outcome.done, outcome.cut = True, reception.cut
        attempt.concluded = True

    def _require_same_beginning(self, attempt: Attempt, reception: Reception) -> None:
        if reception.transcript.response_hash != attempt.shown_hash:
            raise ProviderUnreachable("The provider tells another answer the second time.")

    def receipt_key(self, channel: OpenChannel, signed: Signed[Receipt], known: Address) -> Flow[Address]:
        """Who signed it, if the provider ever named that key, before or after its offers were read; else the
        known one, which did not. Raises MalformedSignature or ChainUnavailable."""
        signer = recover(digest(self.purse.domain, signed.message.struct_hash()), signed.signature)
        if signer == known or not (yield from self.listing.is_receipt_key(channel.key.provider, signer)):
            return known
        return signer


def _sample(attempt: Attempt, reception: Reception, signed: Signed[Receipt]) -> Sample | None:
    """What an auditor could be shown; None: no ids came, or log-probabilities of some of them alone."""
    ids, logprobs = reception.tokens
    if not ids or len(logprobs) not in (0, len(ids)):
        return None
    pending = attempt.pending
    return Sample(
        path=pending.path,
        body=pending.body,
        ids=ids,
        logprobs=logprobs,
        offer=pending.posted.offer,
        receipt=signed,
    )
