"""The gateway over HTTP: routes that read, call `Gateway` and `Relay`, and write. Nothing is decided here.

Paid routes go past FastAPI's routing and middleware: they are on every request's way.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tallystick.protocol.errors import (
    AnswerUnknown,
    ChannelUnknown,
    FormatError,
    GrantError,
    MarketError,
    SignatureError,
)
from tallystick.protocol.receipt import Finish
from tallystick.protocol.wire import (
    AUTHORIZATION,
    CHALLENGE,
    CLOSE_PATH,
    OFFERS_PATH,
    RECEIPT,
    RESTORE_PATH,
    RESYNC_PATH,
    VOUCHERS_PATH,
    Credential,
    Terms,
    challenge,
)
from tallystick_node.gateway.direct import Direct, Endpoint
from tallystick_node.gateway.errors import (
    RETRY_AFTER_S,
    InternalFailure,
    PaymentRequired,
    Refused,
    RouteUnknown,
    error_json,
    status_of,
)
from tallystick_node.gateway.gateway import Gateway
from tallystick_node.gateway.guard import Guard
from tallystick_node.gateway.intake import Intake
from tallystick_node.gateway.metrics import Metrics
from tallystick_node.gateway.patience import Patience
from tallystick_node.gateway.relay import EVENT_STREAM, Answer, Relay, Running
from tallystick_node.store.records import StoredAnswer

_SUSPECT: Final = (FormatError, SignatureError, ChannelUnknown, GrantError, AnswerUnknown)
"""What only a guess, a flood or a payer that is lost brings about."""
PAID_PATHS: Final = ("/v1/chat/completions", "/v1/completions")
_NO_STORE: Final = (b"cache-control", b"no-store")
_JSON: Final = "application/json"

log = structlog.get_logger("tallystick.gateway")


def make_app(
    gateway: Gateway,
    relay: Relay,
    *,
    metrics: Metrics,
    guard: Guard,
    intake: Intake,
    engine_models: Mapping[str, str],
) -> ASGIApp:
    """`engine_models`: the engine's name of each model that is offered under another one."""
    app = FastAPI(title="Tallystick gateway", docs_url=None, redoc_url=None, openapi_url=None)

    def _credential(request: Request) -> Credential:
        return gateway.credential(request.headers.get(AUTHORIZATION))

    async def paid(request: Request) -> Response:
        credential = _credential(request)
        async with intake.body(request) as body:
            admitted = await gateway.admit(credential, body)
        if isinstance(admitted, StoredAnswer):
            return _stored(admitted)
        if admitted.served:
            return await _followed(admitted, relay.patience_s)
        admitted.served = True
        try:
            model = admitted.ask.model
            answer = await relay.serve(admitted, request.scope["path"], engine_models.get(model, model))
        except BaseException:
            await relay.abandon(admitted)
            raise
        if isinstance(answer, Answer):
            return _whole(answer)
        return StreamAnswer(answer, relay.patience_s, admitted, relay)

    async def voucher(request: Request) -> Response:
        return _json(await gateway.take_voucher(_credential(request)))

    async def resync(request: Request) -> Response:
        credential = _credential(request)
        async with intake.body(request) as body:
            return _json(await gateway.resync(credential, body))

    async def restore(request: Request) -> Response:
        credential = _credential(request)
        async with intake.body(request) as body:
            return _json(await gateway.restore(credential, body))

    async def close(request: Request) -> Response:
        credential = _credential(request)
        async with intake.body(request) as body:
            return _json(await gateway.close(credential, body))

    async def models(_: Request) -> Response:
        return _json(gateway.models())

    async def offers(_: Request) -> Response:
        return _json(gateway.offers())

    async def exposition(_: Request) -> Response:
        return Response(metrics.exposition(gateway), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def health(_: Request) -> Response:
        healthy, facts = metrics.health(gateway)
        return _json(facts, 200 if healthy else 503)

    def guarded(endpoint: Endpoint) -> Endpoint:
        async def checked(request: Request) -> Response:
            peer = request.client.host if request.client else ""
            try:
                guard.require_welcome(peer)
                return await endpoint(request)
            except Refused as refused:
                metrics.refused(refused.error)
                if not refused.mined:
                    guard.note_refusal(peer)
                return _error(refused.error, refused.terms)
            except MarketError as error:
                metrics.refused(error)
                if isinstance(error, _SUSPECT) or (isinstance(error, PaymentRequired) and _has_body(request)):
                    guard.note_refusal(peer)
                return _error(error, gateway.blank_terms() if status_of(error) == 402 else None)
            except ClientDisconnect:
                return Response(status_code=400)
            except Exception as error:
                log.exception("request.failed", error=type(error).__name__)
                failure = InternalFailure("The gateway failed. Its operator can find out why.")
                metrics.refused(failure)
                return _error(failure, None)

        return checked

    direct = dict.fromkeys(PAID_PATHS, guarded(paid)) | {VOUCHERS_PATH: guarded(voucher)}
    for path, endpoint in direct.items():
        app.add_route(path, endpoint, methods=["POST"])
    app.add_route(RESYNC_PATH, guarded(resync), methods=["POST"])
    app.add_route(RESTORE_PATH, guarded(restore), methods=["POST"])
    app.add_route(CLOSE_PATH, guarded(close), methods=["POST"])
    app.add_route("/v1/models", models, methods=["GET"])
    app.add_route(OFFERS_PATH, offers, methods=["GET"])
    app.add_route("/metrics", exposition, methods=["GET"])
    app.add_route("/healthz", health, methods=["GET"])
    app.add_exception_handler(HTTPException, _http_error)
    return Direct(app, direct)


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


# ------------------------------------------------------------------------------------------------- answers


def _json(data: Any, status: int = 200) -> Response:
    return _plain(status, _JSON, orjson.dumps(data))


def _plain(
    status: int, media_type: str, content: bytes, headers: Mapping[str, str] | None = None
) -> Response:
    response = Response(content, status_code=status, headers=headers)
    response.raw_headers += [_NO_STORE, (b"content-type", media_type.encode("latin-1"))]
    return response


def _whole(answer: Answer) -> Response:
    headers = {}
    if answer.receipt is not None:
        headers[RECEIPT] = answer.receipt
    if answer.retry_after is not None:
        headers["Retry-After"] = answer.retry_after
    return _plain(answer.status, answer.media_type, answer.content, headers)


def _stored(answer: StoredAnswer) -> Response:
    assert answer.content is not None
    streamed = answer.media_type.startswith("text/event-stream")
    headers = {RECEIPT: answer.receipt} if answer.receipt and not streamed else None
    return _plain(200, answer.media_type, answer.content, headers)


async def _followed(running: Running, patience_s: float) -> Response:
    """The answer of a request that runs already, as its first sender gets it."""
    if running.ask.streamed:
        following = running.follow()
        first = await anext(following, None)
        if first is not None:
            return StreamAnswer(_with_first(first, following), patience_s)
    answer = await asyncio.shield(running.answer)
    if isinstance(answer, MarketError):
        raise answer
    return _whole(answer) if answer else StreamAnswer(running.follow(), patience_s)


async def _with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for block in rest:
        yield block


class StreamAnswer(Response):
    """Server-sent events. With a request to serve, its blocks are read to the end whatever becomes of the
    payer."""

    def __init__(
        self,
        blocks: AsyncIterator[bytes],
        patience_s: float,
        running: Running | None = None,
        relay: Relay | None = None,
    ):
        """`patience_s`: a payer that reads nothing for so long has gone."""
        super().__init__()
        self.raw_headers = [
            (b"content-type", EVENT_STREAM.encode()),
            _NO_STORE,
            (b"x-accel-buffering", b"no"),
        ]
        self._blocks = blocks
        self._patience = Patience(patience_s)
        self._gone = False
        self._running = running
        self._relay = relay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watch = asyncio.ensure_future(self._watch(receive))
        try:
            with self._patience:
                await self._pass_on(send)
        finally:
            watch.cancel()
            if self._running is not None and self._relay is not None:
                await self._relay.abandon(self._running)
            if isinstance(self._blocks, AsyncGenerator):
                await self._blocks.aclose()

    async def _pass_on(self, send: Send) -> None:
        await self._send(send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for block in self._blocks:
            if block:
                await self._send(send, {"type": "http.response.body", "body": block, "more_body": True})
            if self._gone and self._running is None:
                break
        await self._send(send, {"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, message: Message) -> None:
        if self._gone:
            return
        try:
            await self._patience.wait(send(message))
        except TimeoutError:
            self._leave()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        """The payer has gone, and with it the request that it asked for."""
        self._gone = True
        if self._running is not None:
            self._running.end(Finish.CANCELLED)


def _error(error: MarketError, terms: Terms | None) -> Response:
    status = status_of(error)
    headers = {}
    if status == 402 and terms is not None:
        headers[CHALLENGE] = challenge(terms)
    if status == 429:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return _plain(status, _JSON, orjson.dumps(error_json(error, terms)), headers)


async def _http_error(_: Request, error: Exception) -> Response:
    """No such route, or not with this method."""
    assert isinstance(error, HTTPException)
    found = RouteUnknown("This gateway has no such route.", actual=error.status_code)
    return _plain(error.status_code, _JSON, orjson.dumps(error_json(found)))
