"""The test provider over HTTP: real sockets, so that connections can really break."""

import json
import ssl
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tallystick.protocol.errors import (
    AnswerDropped,
    AnswerUnknown,
    CapExceeded,
    CreditExceeded,
    MarketError,
    NonceReused,
    WorstCaseExceedsCredit,
)
from tallystick.protocol.pricing import cost_up
from tallystick.protocol.receipt import Finish
from tallystick.protocol.transcript import Transcript
from tallystick.protocol.units import ZERO_HASH
from tallystick.protocol.voucher import Voucher
from tallystick.protocol.wire import (
    BALLOTS_PATH,
    CLOSE_PATH,
    QUOTE,
    RATINGS_PATH,
    RECEIPT,
    RECEIPT_COMMENT,
    RESYNC_PATH,
    VOUCHERS_PATH,
    Terms,
    receipt_text,
    signed_to_json,
)
from tests.client.echo import prompt_ids
from tests.client.side import Record, Refused, RequestsRunning, Side
from tests.client.tls import certificate

PAUSE_S = 5.0


class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 256

    def __init__(self, provider: Any, tls: bool, folder: Path | None):
        super().__init__(("127.0.0.1", 0), Handler)
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


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # Else a body waits 40 ms for its headers' acknowledgement.
    server: Server

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
            elif self.path == RATINGS_PATH:
                provider.ratings.append(json.loads(body))
                self._json(200, {"news": True})
            elif self.path == BALLOTS_PATH:
                self._json(200, provider.ballot(json.loads(body)))
            elif self.path in (RESYNC_PATH, CLOSE_PATH):
                self._question(provider, body)
            else:
                self._paid(provider, body)
        except Refused as refused:
            self._error(refused.status, refused.error, refused.terms)
        except MarketError as error:
            self._error(402, error, None)

    def _vouchers(self, provider: Any) -> None:
        with provider.lock:
            side, voucher, credential = provider.credential(self.headers["Authorization"], b"", bare=True)
            provider.acknowledge(side, credential.voucher, bare=True)
        self._json(
            200, {"cumulativeAmount": str(voucher.cumulative_amount), "receiptCount": str(side.acknowledged)}
        )

    def _question(self, provider: Any, body: bytes) -> None:
        with provider.lock:
            side, _, _ = provider.credential(self.headers["Authorization"], body)
            if self.path == CLOSE_PATH:
                provider.seen["close"] += 1
                if provider.mishap == "slow-close" and provider.seen["close"] < 3:
                    raise Refused(409, RequestsRunning("Something runs on it still."))
                side.closed = True
                self._json(200, signed_to_json(provider.consent(side)))
                return
            self._json(200, provider.resynced(side, int(json.loads(body)["fromSequence"])))

    def _paid(self, provider: Any, raw: bytes) -> None:
        body = json.loads(raw)
        if body.get("engine_error"):
            self._json(400, {"error": {"message": "no such thing", "type": "BadRequestError", "code": 400}})
            return
        with provider.lock:
            side, voucher, credential = provider.credential(self.headers["Authorization"], raw)
        if provider.handled(self, self.path, raw):
            return
        with provider.lock:
            acknowledgement = voucher.acknowledgement
            record = side.records.get(acknowledgement.request_nonce)
            if record is not None and record.request_hash != acknowledgement.request_hash:
                raise NonceReused("Another request.")
            if record is not None and provider.mishap == "forgets-answers":
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
        self, provider: Any, side: Side, body: dict[str, Any], raw: bytes, voucher: Voucher
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
        record = Record(voucher.acknowledgement.request_hash, stream, len(prompt_ids(body)))
        side.records[voucher.acknowledgement.request_nonce] = record
        provider.worked += 1
        provider.reserved += need
        return record, need

    def _whole(self, provider: Any, side: Side, record: Record, body: dict[str, Any], held: int) -> None:
        provider.hold.wait()
        record.body = provider.said_whole(body)
        transcript = Transcript(record.request_hash)
        transcript.add_payload(record.body)
        transcript.add_counts(_parsed(record.body))
        with provider.lock:
            provider.reserved -= held
            if provider.bills(transcript, [0, 0]):
                for told in provider.issue(side, transcript, record, [0, 0], Finish.STOP)[-1:]:
                    record.receipt = told
            record.done = True
            provider.changed.notify_all()
        self._replay(provider, record)

    def _stream(self, provider: Any, side: Side, record: Record, body: dict[str, Any], held: int) -> None:
        transcript, billed = Transcript(record.request_hash), [0, 0]
        window = [held]
        gone = False
        try:
            self.head("text/event-stream")
            for payload in provider.said(body):
                if not self._room(provider, side, transcript, billed, record, window):
                    break
                transcript.add_payload(payload)
                transcript.add_counts(_parsed(payload))
                if (sent := provider.on_the_wire(payload)) is not None:
                    self._line(record, b"data: " + sent)
                if provider.mishap.startswith("crash") and provider.seen["interim"]:
                    self._crash(provider, record, window)
                    return
                provider.hold.wait()
                if provider.mishap == "engine" and transcript.output_tokens > 2:
                    break
                if provider.mishap == "stall" and transcript.output_tokens > 2 and not provider.closing:
                    provider.hold.clear()
                    provider.hold.wait()
                if provider.drops and transcript.output_tokens > 2:
                    raise ConnectionResetError
        except OSError:
            gone = True
        rest = self._ended(provider, side, record, transcript, billed, window, gone=gone)
        if gone:
            provider.drops = max(0, provider.drops - 1)
            self.hang_up()
            return
        for line in rest:
            self.chunk(line + b"\n\n")
        self.chunk(b"")

    def _ended(
        self, provider: Any, side: Side, record: Record, transcript: Transcript, billed: list[int],
        window: list[int], *, gone: bool
    ) -> list[bytes]:  # fmt: skip
        """What is left to say: the last receipt, and that it is the end."""
        with provider.lock:
            provider.reserved -= window[0]
            rest = []
            if provider.bills(transcript, billed):
                finish = Finish.CANCELLED if gone else Finish.STOP
                finish = Finish.ENGINE_FAILED if provider.mishap == "engine" else finish
                told = provider.issue(side, transcript, record, billed, finish)
                if provider.mishap != "no-receipt":
                    rest += [RECEIPT_COMMENT + receipt_text(item).encode() for item in told]
            rest.append(b"data: [DONE]")
            record.lines += rest
            record.done = True
            provider.changed.notify_all()
        return rest

    def _crash(self, provider: Any, record: Record, window: list[int]) -> None:
        """In mid-stream: what was billed is kept, and its answer ends there."""
        with provider.lock:
            provider.reserved -= window[0]
            if provider.mishap == "crash-done":
                record.lines.append(b"data: [DONE]")
            record.done = True
            provider.changed.notify_all()
        self.hang_up()

    def _room(
        self, provider: Any, side: Side, transcript: Transcript, billed: list[int],
        record: Record, window: list[int]
    ) -> bool:  # fmt: skip
        """Bills what was delivered once half the window is used, and waits for an acknowledgement."""
        offer = provider.offer
        unbilled = cost_up(
            offer,
            input_tokens=0 if billed[0] else transcript.input_tokens,
            cached_input_tokens=0,
            output_tokens=transcript.output_tokens - billed[1],
        )
        with provider.lock:
            due = provider.interim_at or max(100, window[0] // 2)
            if unbilled < due or transcript.output_tokens == billed[1]:
                return True
            told = provider.issue(side, transcript, record, billed, Finish.INTERIM)
            provider.reserved -= window[0]
            window[0] = max(200, offer.credit // 8)
            for item in told:
                self._line(record, RECEIPT_COMMENT + receipt_text(item).encode())
            provider.seen["interim"] += 1
            room = provider.changed.wait_for(
                lambda: provider.exposure() + window[0] <= offer.credit, timeout=PAUSE_S
            )
            window[0] = window[0] if room else 0
            provider.reserved += window[0]
            return bool(room)

    def _replay(self, provider: Any, record: Record) -> None:
        with provider.lock:
            provider.changed.wait_for(lambda: record.done, timeout=PAUSE_S)
            if provider.drops and not record.stream:
                provider.drops -= 1
                self.hang_up()
                return
        if record.stream:
            self.head("text/event-stream")
            for line in record.lines:
                self.chunk(line + b"\n\n")
            self.chunk(b"")
            return
        receipt = {} if record.receipt is None else {RECEIPT: receipt_text(record.receipt)}
        if provider.mishap == "no-receipt":
            receipt = {}
        record.words = words_of(record.body)
        self.send(200, record.body, receipt)

    # ------------------------------------------------------------------------------------------- bytes

    def hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(2)

    def head(self, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        self._promise()
        self.end_headers()

    def _line(self, record: Record, line: bytes) -> None:
        record.lines.append(line)
        if line.startswith(b"data: "):
            record.words += words_of(line[6:])
        self.chunk(line + b"\n\n")

    def _promise(self) -> None:
        if (promise := self.server.provider.promise(self)) is not None:
            self.send_header(QUOTE, promise)

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _json(self, status: int, data: object) -> None:
        self.send(status, json.dumps(data).encode(), {})

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """An answer in one piece."""
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self._promise()
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


def words_of(payload: bytes) -> int:
    """Words, and so tokens, that a payload or a whole body really says."""
    said = 0
    for choice in _parsed(payload).get("choices", ()):
        message = choice.get("delta") or choice.get("message") or {"content": choice.get("text")}
        said += len((message.get("content") or "").split()) + len(message.get("tool_calls") or ())
    return said


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        data = json.loads(payload)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
