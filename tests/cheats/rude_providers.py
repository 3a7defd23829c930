"""Providers that misuse HTTP, TLS, and what a payer asks beside inference. Played in `test_providers`."""

import gzip
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar

from tallystick.protocol.errors import CapExceeded
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Atoms, Hash32, Tokens
from tallystick.protocol.voucher import Close
from tallystick.protocol.wire import RECEIPT_COMMENT, Terms, signed_to_json
from tests.cheats.providers import Cheat
from tests.client.echo import chunks
from tests.client.serving import Handler
from tests.client.side import Refused, Side


class StallsAfterTheFirstToken(Cheat):
    """Says a few tokens and then nothing, and holds the connection open."""

    patience: ClassVar[float] = 0.5
    asks: ClassVar[int] = 1
    streamed: ClassVar[tuple[bool, ...]] = (True,)
    options: ClassVar[dict[str, Any]] = {"mishap": "stall"}


class StallsWithComments(Cheat):
    """The same after one token, with comments, so that no read ever times out."""

    streamed: ClassVar[tuple[bool, ...]] = (True,)

    patience: ClassVar[float] = 0.5
    asks: ClassVar[int] = 1

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        handler.head("text/event-stream")
        first = next(iter(chunks(json.loads(raw))))
        handler.chunk(b"data: " + first + b"\n\n")
        with suppress(OSError):
            while not self.closing:
                handler.chunk(b": wait\n\n")
                time.sleep(0.02)
        handler.hang_up()
        return True


class Trickles(Cheat):
    """A whole answer, or a refusal, a byte now and then: no read times out, and the end never comes."""

    asks: ClassVar[int] = 1
    patience: ClassVar[float] = 0.5

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        handler.head("application/json", 402 if b'"stream":true' in raw else 200)
        with suppress(OSError):
            while not self.closing:
                handler.chunk(b" ")
                time.sleep(0.02)
        handler.hang_up()
        return True


class TricklesItsHead(Cheat):
    """A byte of the answer's head now and then: no read times out, and the answer never begins."""

    asks: ClassVar[int] = 1
    patience: ClassVar[float] = 0.2
    bears: ClassVar[float] = 2

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        with suppress(OSError):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
            while not self.closing:
                handler.wfile.write(b"a")
                time.sleep(0.02)
        handler.hang_up()
        return True


class NeverEnds(Cheat):
    """Goes on for ever, far beyond what was asked for, and bills all of it."""

    streamed: ClassVar[tuple[bool, ...]] = (True,)

    asks: ClassVar[int] = 1

    def said(self, body: dict[str, Any]) -> Iterator[bytes]:
        first, *_ = chunks(body)
        while not self.closing:
            yield first


class SendsAGiganticHeader(Cheat):
    """Ten megabytes in the head of its answer."""

    asks: ClassVar[int] = 1

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        handler.send(200, b"{}", {"x-large": "a" * 10_000_000})
        return True


class SendsAGiganticReceipt(Cheat):
    """Two megabytes of receipt, after an answer that is in order."""

    streamed: ClassVar[tuple[bool, ...]] = (True,)

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        handler.head("text/event-stream")
        for payload in chunks(json.loads(raw)):
            handler.chunk(b"data: " + payload + b"\n\n")
        handler.chunk(RECEIPT_COMMENT + b"A" * 2_000_000 + b"\n\ndata: [DONE]\n\n")
        handler.chunk(b"")
        return True


class SendsAGiganticLine(Cheat):
    """A line that never ends, to fill the payer's memory."""

    streamed: ClassVar[tuple[bool, ...]] = (True,)

    asks: ClassVar[int] = 1

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        handler.head("text/event-stream")
        with suppress(OSError):
            for _ in range(40):
                handler.chunk(b"data: " + b"a" * 1_000_000)
        handler.hang_up()
        return True


class SendsGarbage(Cheat):
    """Bytes that are no answer: to be hashed and billed, and perhaps to crash the payer."""

    streamed: ClassVar[tuple[bool, ...]] = (True,)
    garbage: ClassVar[tuple[bytes, ...]] = (
        b"",
        b"\0",
        b"NaN",
        b"[[[[",
        b'{"choices": 5}',
        b'{"choices": [null, 3, {"delta": 7, "token_ids": [-1, 1e9, "x"]}], "usage": []}',
        b'{"usage": {"completion_tokens": 1e400}}',
        b'{"usage": {"completion_tokens": -5, "prompt_tokens": 99999999999999999999}}',
        b'{"choices": [{"index": 9, "delta": {"content": {}, "tool_calls": [5, {}]}}]}',
        b'{"model": "echo", "model": "other"}',
        os.urandom(64).replace(b"\n", b"").replace(b"\r", b""),
    )

    def said(self, body: dict[str, Any]) -> Iterator[bytes]:
        return iter(self.garbage)

    def bills(self, transcript: Any, billed: list[int]) -> bool:
        return True

    def told(self, receipt: Receipt) -> list[Signed[Receipt]]:
        return [self.signed(self.priced(receipt, output_tokens=Tokens(100), input_tokens=Tokens(20)))]


class SendsAGzipBomb(Cheat):
    """An encoding that the payer did not allow: small on the wire, 256 MB in memory."""

    asks: ClassVar[int] = 1

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        handler.send(200, gzip.compress(b"0" * (1 << 28), 1), {"content-encoding": "gzip"})
        return True


class Redirects(Cheat):
    """Sends the payer, its body and its credential on to a host of the payer's own network."""

    status = 307

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        handler.send(self.status, b"", {"location": self.target})
        return True

    target = ""


class AnswersNothing(Cheat):
    """An empty object, as often as it is asked."""

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        handler.send(200, b"{}", {})
        return True


class TakesTheVoucherAndRefuses(Cheat):
    """Takes what the request acknowledges, and serves nothing."""

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        handler.send(503, b'{"error": {"message": "no", "type": "server_error", "code": 503}}', {})
        return True


class DemandsAnAbsurdCap(Cheat):
    """A 402 that asks for a grant over all that the payer has."""

    demanded = 10**8

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        side = next(iter(self.sides.values()))
        raise Refused(402, CapExceeded("More."), replace(self.terms(side, 1), cap=Atoms(self.demanded)))

    def largest_grant(self) -> int:
        return max(side.cap for side in self.sides.values())


class DemandsAnAbsurdTotal(DemandsAnAbsurdCap):
    """A 402 that asks for a voucher over what was never delivered."""

    def terms(self, side: Side, required: int) -> Terms:
        return replace(
            super().terms(side, required),
            required=Atoms(1 << 100),
            owed=Atoms(1 << 100),
            receipt_count=1 << 40,
        )


class InventsReceipts(Cheat):
    """Loses the true one, and lists another in answer to `resync`, for a request that was never made."""

    options: ClassVar[dict[str, Any]] = {"mishap": "no-receipt"}

    def resynced(self, side: Side, start: int) -> dict[str, Any]:
        listed = super().resynced(side, start)
        invented = [
            self.signed(
                self.priced(item.message, request_hash=Hash32(b"\6" * 32), output_tokens=Tokens(100_000))
            )
            for item in side.receipts[start:]
        ]
        return listed | {"receipts": [signed_to_json(item) for item in invented]}


class ListsAnotherChannelsReceipts(Cheat):
    """Receipts that are true, of another payer's channel."""

    options: ClassVar[dict[str, Any]] = {"mishap": "no-receipt"}

    def resynced(self, side: Side, start: int) -> dict[str, Any]:
        listed = super().resynced(side, start)
        others = [
            self.signed(replace(item.message, channel_id=b"\x08" * 32)) for item in side.receipts[start:]
        ]
        return listed | {"receipts": [signed_to_json(item) for item in others]}


class ForgetsTheVoucher(Cheat):
    """Says that it holds none and knows no receipts, to be paid anew for what was paid."""

    def resynced(self, side: Side, start: int) -> dict[str, Any]:
        return {"voucher": None, "receipts": [signed_to_json(item) for item in side.receipts]}


class ClosesAboveWhatWasAcknowledged(Cheat):
    """The payer would submit a close that pays more than its vouchers do."""

    more = 1_000

    def consent(self, side: Side) -> Signed[Close]:
        honest = super().consent(side).message
        false = replace(honest, cumulative_amount=Atoms(honest.cumulative_amount + self.more))
        return self.signed(false)  # type: ignore[arg-type, return-value]  # a close is signed as a receipt is


class ClosesBelowWhatWasAcknowledged(ClosesAboveWhatWasAcknowledged):
    """To settle the larger voucher all the same, later."""

    more = -1


class CopiesAnEndpoint(Cheat):
    """Answers in the name of another's offer, or has another answer in its own."""
