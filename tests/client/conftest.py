"""A provider to test the payer against: spec sections 2 and 3 in small, and able to cheat.

It is written from the specification with the protocol's functions alone, shares nothing with the gateway, and
serves over real sockets, so that connections can really break.
"""

import json
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Event, RLock, Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tallystick.client.budget import Budget
from tallystick.client.pools import endpoint_key
from tallystick.client.session import Session
from tallystick.client.transport import Transport
from tallystick.home import Home
from tallystick.ports import Account, Head, PostedOffer
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import (
    AcknowledgementMismatch,
    AnswerDropped,
    AnswerUnknown,
    CapExceeded,
    ChannelNotOpen,
    ChannelUnknown,
    CreditExceeded,
    MarketError,
    NonceReused,
    RequestHashMismatch,
    VoucherNotGreater,
    WorstCaseExceedsCredit,
)
from tallystick.protocol.offer import Offer
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Key, Signed, sign, verify
from tallystick.protocol.stake import Stake
from tallystick.protocol.transcript import Transcript
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, Hash32, Milliseconds, Timestamp, to_hex
from tallystick.protocol.voucher import Close, Tally, Voucher, request_hash, require_acknowledges
from tallystick.protocol.wire import (
    CLOSE_PATH,
    RECEIPT,
    RECEIPT_COMMENT,
    RESYNC_PATH,
    VOUCHERS_PATH,
    Credential,
    Terms,
    read_authorization,
    receipt_text,
    signed_to_json,
)

DOMAIN = Domain(chain_id=31337, contract=Address(b"\x77" * 20))
MODEL = "echo"
PAUSE_S = 5.0


@dataclass
class FakeChain:
    """Accounts, channels and offers, as a chain would say them; both ports that a payer needs."""

    free: int = 10**12
    posted: list[PostedOffer] = field(default_factory=list)
    channels: dict[tuple[bytes, bytes, bytes], Channel] = field(default_factory=dict)

    def head(self) -> Head:
        return Head(number=1, timestamp=Timestamp(0))

    def account(self, payer: Address) -> Account:
        return Account(free=Atoms(self.free), exiting=Atoms(0), exits_at=Timestamp(0))

    def stake(self, provider: Address) -> Stake:
        return next(item.stake for item in self.posted if item.offer.provider == provider)

    def is_receipt_key(self, provider: Address, key: Address) -> bool:
        return key == provider

    def channel(self, payer: Address, provider: Address, session_key: Address) -> Channel:
        key = ChannelKey(payer=payer, provider=provider, session_key=session_key)
        return self.channels.get((payer, provider, session_key), Channel(key=key))

    def offers(self) -> Sequence[PostedOffer]:
        return list(self.posted)


@dataclass
class Record:
    """One request under its nonce."""

    request_hash: Hash32
    stream: bool
    lines: list[bytes] = field(default_factory=list)
    body: bytes = b""
    receipt: Signed[Receipt] | None = None
    done: bool = False


@dataclass
class Side:
    """A provider's half of one channel."""

    key: ChannelKey
    cap: int
    tallies: list[Tally] = field(default_factory=lambda: [Tally()])
    receipts: list[Signed[Receipt]] = field(default_factory=list)
    acknowledged: int = 0
    voucher: Signed[Voucher] | None = None
    records: dict[int, Record] = field(default_factory=dict)
    closed: bool = False

    @property
    def owed(self) -> int:
        return self.tallies[-1].amount - self.tallies[self.acknowledged].amount


class FakeProvider:
    """One provider: an echo engine, a half of every channel, and perhaps a bad character."""

    def __init__(
        self,
        chain: FakeChain,
        *,
        price: int = 1_000_000,
        credit: int = 1_000_000,
        context: int = 100_000,
        cheat: str = "",
        tls: bool = False,
        pin: bytes | None = None,
        folder: Path | None = None,
        latency: Callable[[], None] = lambda: None,
        **prices: int,
    ):
        self.cheat = cheat
        self.latency = latency
        self.key = Key.generate()
        self.sides: dict[bytes, Side] = {}
        self.reserved = 0
        self.worked = 0
        """Requests that the engine worked on."""
        self.seen: Counter[str] = Counter()
        self.bytes_seen = 0
        self.lock = RLock()
        self.changed = Condition(self.lock)
        self.hold = Event()
        self.hold.set()
        self.drops = 0
        """Answers to lose on the way from now on."""
        self._server = _Server(self, tls, folder)
        scheme = "https" if tls else "http"
        offer = Offer(
            provider=self.key.address,
            sequence=1,
            endpoint=f"{scheme}://127.0.0.1:{self._server.server_port}",
            endpoint_key=Hash32(pin or self._server.key),
            model=MODEL,
            model_hash=ZERO_HASH,
            input_price=prices.get("input_price", price),
            cached_input_price=prices.get("cached_input_price", price),
            output_price=price,
            context_length=context,
            credit=credit,
            valid_until=1 << 40,
        )
        stake = Stake(
            provider=self.key.address,
            staked=Atoms(1),
            exiting=Atoms(0),
            exits_at=Timestamp(0),
            receipt_key=self.key.address,
        )
        self.offer = offer
        self.offer_hash = offer.struct_hash()
        chain.posted.append(PostedOffer(offer=offer, offer_hash=self.offer_hash, stake=stake))
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # ------------------------------------------------------------------------------------------- sums

    @property
    def issued(self) -> int:
        return sum(side.tallies[-1].amount for side in self.sides.values())

    @property
    def acknowledged(self) -> int:
        return sum(side.tallies[side.acknowledged].amount for side in self.sides.values())

    @property
    def paid(self) -> int:
        """What the largest vouchers in hand would pay."""
        return sum(
            side.voucher.message.cumulative_amount for side in self.sides.values() if side.voucher is not None
        )

    # ------------------------------------------------------------------------------------------- admission

    def credential(self, header: str, body: bytes, *, bare: bool = False) -> tuple[Side, Voucher, Credential]:
        credential = read_authorization(header)
        voucher = credential.voucher.message
        side = self.sides.get(voucher.channel_id)
        if credential.grant is not None:
            side = self._granted(credential, side)
        if side is None:
            raise ChannelUnknown("No such channel.")
        if side.closed:
            raise ChannelNotOpen("It is closed.")
        acknowledgement = voucher.acknowledgement
        expected = ZERO_HASH if bare else request_hash(credential.offer_hash, body)
        if acknowledgement.request_hash != expected or (acknowledgement.request_nonce == 0) != bare:
            raise RequestHashMismatch("Another body.")
        verify(credential.voucher, DOMAIN, signer=side.key.session_key)
        return side, voucher, credential

    def _granted(self, credential: Credential, side: Side | None) -> Side:
        assert credential.grant is not None
        grant = verify(credential.grant, DOMAIN, signer=credential.grant.message.payer).message
        assert grant.channel.id == credential.voucher.message.channel_id
        assert grant.provider == self.key.address
        if side is None:
            side = self.sides[grant.channel.id] = Side(grant.channel, 0)
        side.cap = max(side.cap, grant.cap)
        return side

    def acknowledge(self, side: Side, signed: Signed[Voucher], *, bare: bool) -> None:
        voucher = signed.message
        count = voucher.acknowledgement.receipt_count
        if count >= len(side.tallies):
            raise AcknowledgementMismatch("Receipts that were never issued.")
        require_acknowledges(voucher, side.tallies[count])
        held = side.tallies[side.acknowledged].amount
        if bare and voucher.cumulative_amount <= held:
            raise VoucherNotGreater("Not greater.", required=held + 1, actual=voucher.cumulative_amount)
        assert voucher.cumulative_amount <= side.cap
        if count > side.acknowledged:
            side.acknowledged, side.voucher = count, signed
            self.changed.notify_all()

    def exposure(self) -> int:
        return sum(side.owed for side in self.sides.values()) + self.reserved

    # ------------------------------------------------------------------------------------------- receipts

    def issue(
        self, side: Side, transcript: Transcript, hashed: Hash32, billed: list[int], finish: Finish
    ) -> None:
        """One receipt for what `billed` (input, output tokens so far) does not cover yet; kept in `side`."""
        new_input = transcript.input_tokens if not billed[2] or self.cheat == "input-twice" else 0
        new_output = transcript.output_tokens - billed[1]
        if self.cheat == "overcount":
            new_output += 1
        if self.cheat == "input":
            new_input += 50
        if self.cheat == "input-absurd":
            new_input += 100_000
        cost = cost_up(self.offer, input_tokens=new_input, cached_input_tokens=0, output_tokens=new_output)
        cost = Atoms(cost + (1 if self.cheat == "price" else 0))
        before = side.tallies[-1]
        receipt = Receipt(
            channel_id=side.key.id if self.cheat != "channel" else b"\1" * 32,
            sequence=before.count,
            offer_hash=self.offer_hash,
            request_hash=hashed,
            response_hash=transcript.response_hash if self.cheat != "hash" else Hash32(b"\2" * 32),
            tokens_hash=transcript.tokens_hash if self.cheat != "tokens-hash" else Hash32(b"\3" * 32),
            input_tokens=new_input,
            cached_input_tokens=0,
            output_tokens=new_output,
            finish=finish,
            received_at=Milliseconds(1),
            first_token_at=Milliseconds(2),
            finished_at=Milliseconds(3),
            cost=cost,
            cumulative_cost=Atoms(before.amount + cost + (7 if self.cheat == "cumulative" else 0)),
        )
        honest = replace(receipt, cumulative_cost=Atoms(before.amount + cost))
        side.tallies.append(before.append(honest))
        signer = Key.generate() if self.cheat == "signer" else self.key
        side.receipts.append(sign(receipt, DOMAIN, signer).signed)
        billed[0] += new_input
        billed[1] = transcript.output_tokens
        billed[2] = 1

    def terms(self, side: Side, required: int) -> Terms:
        return Terms(
            offer_hash=self.offer_hash,
            credit=self.offer.credit,
            owed=Atoms(side.owed),
            reserved=Atoms(self.reserved),
            required=side.tallies[-1].amount,
            receipt_count=len(side.receipts),
            cap=Atoms(side.tallies[-1].amount + self.reserved + required),
        )


class RequestsRunning(MarketError):
    code = "requests-running"
    retryable = True


class Refused(Exception):
    def __init__(self, status: int, error: MarketError, terms: Terms | None = None):
        self.status, self.error, self.terms = status, error, terms


def answer(body: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The echo engine: for each choice its pieces, one token each."""
    text = str(body["messages"][-1]["content"] if "messages" in body else body["prompt"])
    limit = body.get("max_tokens") or body.get("max_completion_tokens") or 1_000
    words = text.split()[:limit]
    return [
        [{"content": word + " ", "id": hash(word) % 1000} for word in words] for _ in range(body.get("n", 1))
    ]


def prompt_ids(body: dict[str, Any]) -> list[int]:
    return list(range(3 + len(str(body.get("messages", body.get("prompt"))).split())))


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 256

    def __init__(self, provider: FakeProvider, tls: bool, folder: Path | None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.provider = provider
        self.key = ZERO_HASH
        self.open: set[Any] = set()
        if tls:
            assert folder is not None
            context, self.key = certificate(folder)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        for request in list(self.open):
            with suppress(OSError):
                request.shutdown(2)
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is not news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def log_message(self, *_: object) -> None: ...

    def do_POST(self) -> None:
        provider = self.server.provider
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        provider.seen[self.path] += 1
        provider.bytes_seen += len(body) + 1
        provider.latency()
        try:
            if self.path == VOUCHERS_PATH:
                self._vouchers(provider)
            elif self.path in (RESYNC_PATH, CLOSE_PATH):
                self._question(provider, body)
            else:
                self._paid(provider, body)
        except Refused as refused:
            self._error(refused.status, refused.error, refused.terms)
        except MarketError as error:
            self._error(402, error, None)

    def _vouchers(self, provider: FakeProvider) -> None:
        with provider.lock:
            side, voucher, credential = provider.credential(self.headers["Authorization"], b"", bare=True)
            provider.acknowledge(side, credential.voucher, bare=True)
        self._json(
            200, {"cumulativeAmount": str(voucher.cumulative_amount), "receiptCount": str(side.acknowledged)}
        )

    def _question(self, provider: FakeProvider, body: bytes) -> None:
        with provider.lock:
            side, _, _ = provider.credential(self.headers["Authorization"], body)
            if self.path == CLOSE_PATH:
                provider.seen["close"] += 1
                if provider.cheat == "slow-close" and provider.seen["close"] < 3:
                    raise Refused(409, RequestsRunning("Something runs on it still."))
                side.closed = True
                total = side.tallies[side.acknowledged].amount
                close = Close(channel_id=side.key.id, cumulative_amount=total)
                self._json(200, signed_to_json(sign(close, DOMAIN, provider.key).signed))
                return
            start = int(json.loads(body)["fromSequence"])
            self._json(
                200,
                {
                    "voucher": None if side.voucher is None else signed_to_json(side.voucher),
                    "receipts": [signed_to_json(item) for item in side.receipts[start:]],
                },
            )

    def _paid(self, provider: FakeProvider, raw: bytes) -> None:
        body = json.loads(raw)
        if body.get("engine_error"):
            self._json(400, {"error": {"message": "no such thing", "type": "BadRequestError", "code": 400}})
            return
        with provider.lock:
            side, voucher, credential = provider.credential(self.headers["Authorization"], raw)
            acknowledgement = voucher.acknowledgement
            record = side.records.get(acknowledgement.request_nonce)
            if record is not None and record.request_hash != acknowledgement.request_hash:
                raise NonceReused("Another request.")
            if record is not None and provider.cheat == "forgets-answers":
                raise Refused(410, AnswerDropped("It is no longer kept."))
            fresh = record is None
            if fresh and credential.fetch:
                raise Refused(404, AnswerUnknown("Nothing was begun under it."))
            provider.seen["fetched"] += credential.fetch
            if fresh:
                provider.acknowledge(side, credential.voucher, bare=False)
                record, held = self._admitted(provider, side, body, raw, voucher)
        assert record is not None
        if not fresh:
            provider.seen["replayed"] += 1
            self._replay(provider, record)
        elif record.stream:
            self._stream(provider, side, record, body, held)
        else:
            self._whole(provider, side, record, body, held)

    def _admitted(
        self, provider: FakeProvider, side: Side, body: dict[str, Any], raw: bytes, voucher: Voucher
    ) -> tuple[Record, int]:
        offer = provider.offer
        limit = body.get("max_tokens") or offer.context_length
        stream = bool(body.get("stream"))
        if stream:
            window = max(200, offer.credit // 8)
            need = cost_up(offer, input_tokens=len(raw), cached_input_tokens=0, output_tokens=0) + min(
                window, cost_up(offer, input_tokens=0, cached_input_tokens=0, output_tokens=limit) + 1
            )
        else:
            tokens = limit * body.get("n", 1)
            need = cost_up(offer, input_tokens=len(raw), cached_input_tokens=0, output_tokens=tokens)
            if need > offer.credit:
                raise Refused(402, WorstCaseExceedsCredit("Too much."), provider.terms(side, need))
        if provider.exposure() + need > offer.credit:
            raise Refused(429, CreditExceeded("Too much at once."), provider.terms(side, need))
        if side.owed + need > side.cap - side.tallies[side.acknowledged].amount:
            raise Refused(402, CapExceeded("The cap."), provider.terms(side, need))
        record = Record(voucher.acknowledgement.request_hash, stream)
        side.records[voucher.acknowledgement.request_nonce] = record
        provider.worked += 1
        provider.reserved += need
        return record, need

    def _whole(
        self, provider: FakeProvider, side: Side, record: Record, body: dict[str, Any], held: int
    ) -> None:
        provider.hold.wait()
        pieces = answer(body)
        chat = "messages" in body
        choices = []
        for index, choice in enumerate(pieces):
            text = "".join(piece["content"] for piece in choice)
            shown = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
            ids = [piece["id"] for piece in choice]
            choices.append({"index": index, **shown, "finish_reason": "stop", "token_ids": ids})
        count = sum(map(len, pieces))
        prompts = prompt_ids(body)
        usage = {
            "prompt_tokens": len(prompts),
            "completion_tokens": count,
            "total_tokens": len(prompts) + count,
        }
        kind = "chat.completion" if chat else "text_completion"
        record.body = json.dumps(
            {"id": "x", "object": kind, "created": 1, "model": MODEL, "choices": choices, "usage": usage}
        ).encode()
        transcript = Transcript(record.request_hash)
        transcript.add_payload(record.body)
        transcript.add_counts(json.loads(record.body))
        with provider.lock:
            provider.reserved -= held
            if transcript.output_tokens:
                provider.issue(side, transcript, record.request_hash, [0, 0, 0], Finish.STOP)
                record.receipt = side.receipts[-1]
            record.done = True
            provider.changed.notify_all()
        self._replay(provider, record)

    def _stream(
        self, provider: FakeProvider, side: Side, record: Record, body: dict[str, Any], held: int
    ) -> None:
        transcript, billed = Transcript(record.request_hash), [0, 0, 0]
        window = [held]
        gone = False
        try:
            self._head("text/event-stream")
            for payload in chunks(body):
                if not self._room(provider, side, transcript, billed, record, window):
                    break
                transcript.add_payload(payload)
                transcript.add_counts(json.loads(payload))
                self._line(record, b"data: " + payload)
                if provider.cheat.startswith("crash") and provider.seen["interim"]:
                    self._crash(provider, record, window)
                    return
                provider.hold.wait()
                if provider.cheat == "engine" and transcript.output_tokens > 2:
                    break
                if provider.cheat == "stall" and transcript.output_tokens > 2:
                    provider.hold.clear()
                    provider.hold.wait()
                if provider.drops and transcript.output_tokens > 2:
                    raise ConnectionResetError
        except OSError:
            gone = True
        with provider.lock:
            provider.reserved -= window[0]
            if transcript.output_tokens > billed[1]:
                finish = Finish.CANCELLED if gone else Finish.STOP
                finish = Finish.ENGINE_FAILED if provider.cheat == "engine" else finish
                provider.issue(side, transcript, record.request_hash, billed, finish)
                if provider.cheat != "no-receipt":
                    record.lines.append(RECEIPT_COMMENT + receipt_text(side.receipts[-1]).encode())
            record.lines.append(b"data: [DONE]")
            record.done = True
            provider.changed.notify_all()
        if gone:
            provider.drops = max(0, provider.drops - 1)
            self._break()
            return
        for line in record.lines[-2:] if provider.cheat != "no-receipt" else record.lines[-1:]:
            if not line.startswith(b"data: {"):
                self._chunk(line + b"\n\n")
        self._chunk(b"")

    def _crash(self, provider: FakeProvider, record: Record, window: list[int]) -> None:
        """In mid-stream: what was billed is kept, and its answer ends there."""
        with provider.lock:
            provider.reserved -= window[0]
            if provider.cheat == "crash-done":
                record.lines.append(b"data: [DONE]")
            record.done = True
            provider.changed.notify_all()
        self._break()

    def _room(
        self, provider: FakeProvider, side: Side, transcript: Transcript, billed: list[int],
        record: Record, window: list[int]
    ) -> bool:  # fmt: skip
        """Bills what was delivered once half the window is used, and waits for an acknowledgement."""
        offer = provider.offer
        unbilled = cost_up(
            offer,
            input_tokens=0 if billed[2] else transcript.input_tokens,
            cached_input_tokens=0,
            output_tokens=transcript.output_tokens - billed[1],
        )
        with provider.lock:
            small = provider.cheat == "small-interim" and 0 < unbilled < 100
            if (unbilled < max(100, window[0] // 2) and not small) or transcript.output_tokens == billed[1]:
                return True
            provider.issue(side, transcript, record.request_hash, billed, Finish.INTERIM)
            provider.reserved -= window[0]
            window[0] = max(200, offer.credit // 8)
            self._line(record, RECEIPT_COMMENT + receipt_text(side.receipts[-1]).encode())
            provider.seen["interim"] += 1
            room = provider.changed.wait_for(
                lambda: provider.exposure() + window[0] <= offer.credit, timeout=PAUSE_S
            )
            window[0] = window[0] if room else 0
            provider.reserved += window[0]
            return room

    def _replay(self, provider: FakeProvider, record: Record) -> None:
        with provider.lock:
            provider.changed.wait_for(lambda: record.done, timeout=PAUSE_S)
            if provider.drops and not record.stream:
                provider.drops -= 1
                self._break()
                return
        if record.stream:
            self._head("text/event-stream")
            for line in record.lines:
                self._chunk(line + b"\n\n")
            self._chunk(b"")
            return
        receipt = {} if record.receipt is None else {RECEIPT: receipt_text(record.receipt)}
        if provider.cheat == "no-receipt":
            receipt = {}
        self._send(200, record.body, receipt)

    # ------------------------------------------------------------------------------------------- bytes

    def _break(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(2)

    def _head(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def _line(self, record: Record, line: bytes) -> None:
        record.lines.append(line)
        self._chunk(line + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _json(self, status: int, data: object) -> None:
        self._send(status, json.dumps(data).encode(), {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _error(self, status: int, error: MarketError, terms: Terms | None) -> None:
        self.server.provider.seen[error.code] += 1
        shown: dict[str, Any] = {
            "message": error.message,
            "type": "tallystick_error",
            "code": error.code,
            "param": None,
        }
        if terms is not None:
            shown["terms"] = terms.to_json()
        self._json(status, {"error": shown})


def chunks(body: dict[str, Any]) -> Iterator[bytes]:
    """The answer as OpenAI streams it: one token a chunk, usage last."""
    chat = "messages" in body
    prompts = prompt_ids(body)
    count = 0
    first = True

    def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
        kind = "chat.completion.chunk" if chat else "text_completion"
        return json.dumps(
            {"id": "x", "object": kind, "created": 1, "model": MODEL, "choices": choices, **more}
        ).encode()

    if body.get("tools"):
        call = {"index": 0, "id": "call", "type": "function", "function": {"name": "look", "arguments": ""}}
        yield chunk(
            [{"index": 0, "delta": {"role": "assistant", "tool_calls": [call]}, "token_ids": [1]}],
            prompt_token_ids=prompts,
        )
        for part in ('{"at":', ' "sea"}'):
            piece = {"index": 0, "function": {"arguments": part}}
            yield chunk([{"index": 0, "delta": {"tool_calls": [piece]}, "token_ids": [2]}])
        yield chunk([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}])
        count = 3
    else:
        for index, choice in enumerate(answer(body)):
            for piece in choice:
                delta = {"delta": {"content": piece["content"]}} if chat else {"text": piece["content"]}
                more = {"prompt_token_ids": prompts} if first else {}
                first = False
                count += 1
                yield chunk(
                    [{"index": index, **delta, "finish_reason": None, "token_ids": [piece["id"]]}], **more
                )
            end = {"delta": {}} if chat else {"text": ""}
            yield chunk([{"index": index, **end, "finish_reason": "stop"}])
    if (body.get("stream_options") or {}).get("include_usage"):
        total = len(prompts) + count
        usage = {"prompt_tokens": len(prompts), "completion_tokens": count, "total_tokens": total}
        yield chunk([], usage=usage)


def certificate(folder: Path) -> tuple[ssl.SSLContext, Hash32]:
    """A self-signed one, and the hash of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / f"{made.serial_number}.pem"
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, endpoint_key(made.public_bytes(Encoding.DER))


class World:
    """A market in one test: a chain, providers, one wallet, and the transports that it pays by."""

    def __init__(self, home: Path):
        self.home = home
        self.chain = FakeChain()
        self.wallet = Key.generate()
        self.model = MODEL
        self._stack = ExitStack()
        self._open: list[Transport] = []

    def provider(self, **options: Any) -> FakeProvider:
        provider = FakeProvider(self.chain, folder=self.home, **options)
        self._stack.callback(provider.close)
        return provider

    def session(self, *, total: int = 10**9, per_request: int = 10**8, **options: Any) -> Session:
        session = Session(
            self.wallet,
            chain=self.chain,
            directory=self.chain,
            domain=DOMAIN,
            budget=Budget(total=total, per_request=per_request),
            home=Home(self.home),
            **options,
        )
        self._stack.callback(session.close)
        return session

    def transport(self, **options: Any) -> Transport:
        return Transport(self.session(**options))

    def close(self) -> None:
        self._stack.close()

    def until(self, happened: Callable[[], object]) -> None:
        """Waits for what another thread or process does."""
        for _ in range(2_000):
            if happened():
                return
            Event().wait(0.005)
        raise AssertionError("it never happened")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def chat_body(text: str = "one two three", **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 50, **more}


@pytest.fixture
def ask() -> Callable[..., dict[str, Any]]:
    return chat_body


__all__ = ["to_hex"]
