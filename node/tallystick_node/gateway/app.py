"""The gateway over HTTP: routes that read, call `Gateway` and `Relay`, and write. Nothing is decided here.

Paid routes go past FastAPI's routing and middleware: they are on every request's way.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from tallystick.protocol.errors import (
    AnswerUnknown,
    ChannelUnknown,
    DuelError,
    FormatError,
    GossipError,
    GrantError,
    MarketError,
    SignatureError,
)
from tallystick.protocol.expect import read_expect
from tallystick.protocol.message import read_value
from tallystick.protocol.wire import (
    AUTHORIZATION,
    CHALLENGE,
    CLOSE_PATH,
    EXPECT,
    GOSSIP_PATH,
    NETWORK_PATH,
    OFFERS_PATH,
    QUOTE,
    QUOTES_PATH,
    RATINGS_PATH,
    RECEIPT,
    RECEIPTS_PATH,
    RESTORE_PATH,
    RESYNC_PATH,
    VOUCHERS_PATH,
    Credential,
    Terms,
    challenge,
)
from tallystick_node.gateway import listed
from tallystick_node.gateway.ask import Ask
from tallystick_node.gateway.auditing import Auditing, Errand
from tallystick_node.gateway.bench import Bench
from tallystick_node.gateway.direct import Direct, Endpoint
from tallystick_node.gateway.errors import (
    RETRY_AFTER_S,
    BodyTooLarge,
    Bounced,
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
from tallystick_node.gateway.network import NetworkRoutes
from tallystick_node.gateway.openapi import OPENAPI_PATH, PAID_PATHS, document
from tallystick_node.gateway.opining import Opining
from tallystick_node.gateway.own_users import OwnRoutes
from tallystick_node.gateway.reading import page
from tallystick_node.gateway.relay import Answer, Relay, Running
from tallystick_node.gateway.streaming import StreamAnswer
from tallystick_node.network.blocks import with_first
from tallystick_node.network.errors import UserUnknown
from tallystick_node.store.records import StoredAnswer

_SUSPECT: Final = (
    *(FormatError, SignatureError, ChannelUnknown, GrantError, AnswerUnknown, GossipError),
    UserUnknown,
    BodyTooLarge,
)
"""What only a guess, a flood or a payer that is lost brings about."""
_FREE: Final = (DuelError,)
"""The same where nobody pays, and the chain is asked."""
_NO_STORE: Final = (b"cache-control", b"no-store")
_JSON: Final = "application/json"
_Serve = Callable[[Running, str], Awaitable[Answer | AsyncGenerator[bytes]]]
_READ_APART: Final = 2
"""Long bodies that are read at a time."""

log = structlog.get_logger("tallystick.gateway")


def make_app(
    gateway: Gateway,
    relay: Relay,
    *,
    metrics: Metrics,
    guard: Guard,
    intake: Intake,
    engine_models: Mapping[str, str],
    network: NetworkRoutes | None = None,
    own: OwnRoutes | None = None,
    bench: Bench | None = None,
    auditing: Auditing | None = None,
    errand: Errand | None = None,
) -> ASGIApp:
    """`engine_models`: the engine's name of each model that is offered under another one. `network`: where
    the node gossips; `own`: for whoever comes as its user; `bench`: where it judges; `auditing`: audits;
    `errand`: shows what strikes were found of."""
    routes = Routes(gateway, relay, metrics, intake, engine_models)
    opining = Opining(
        domain=gateway.books.domain,
        relay=relay,
        intake=intake,
        sold=routes.sold,
        bench=bench,
        auditing=auditing,
        errand=errand,
    )

    def guarded(endpoint: Endpoint, *suspect: type[MarketError]) -> Endpoint:
        return Guarded(endpoint, gateway, metrics, guard, (*_SUSPECT, *suspect))

    paid: Endpoint = routes.paid
    models: Endpoint = routes.models
    if own is not None:
        paid, models = _parted(own, own.answer, paid), guarded(_parted(own, own.models, models))
    direct = dict.fromkeys(PAID_PATHS, guarded(paid)) | {VOUCHERS_PATH: guarded(routes.voucher)}
    posts = direct | {
        RESYNC_PATH: guarded(routes.resync),
        RESTORE_PATH: guarded(routes.restore),
        CLOSE_PATH: guarded(routes.close),
        QUOTES_PATH: guarded(routes.quote),
    }
    gets = {
        f"{RECEIPTS_PATH}/{{channel}}": _function(guarded(routes.receipts)),
        "/v1/models": _function(models),
        OFFERS_PATH: routes.offers,
        "/metrics": routes.exposition,
        "/healthz": routes.health,
        OPENAPI_PATH: routes.openapi,
    }
    if network is not None:
        posts |= {GOSSIP_PATH: guarded(network.gossip), RATINGS_PATH: guarded(network.rating)}
        gets |= {NETWORK_PATH: network.network}
    posts |= {path: guarded(endpoint) for path, endpoint in opining.sold().items()}
    posts |= {path: guarded(endpoint, *_FREE) for path, endpoint in opining.free().items()}
    # The document is ours: FastAPI would make one of functions that these are not.
    app = FastAPI(title="Tallystick gateway", docs_url=None, redoc_url=None, openapi_url=None)
    for path, endpoint in posts.items():
        app.add_route(path, _function(endpoint), methods=["POST"])
    for path, endpoint in gets.items():
        app.add_route(path, endpoint, methods=["GET"])
    app.add_exception_handler(HTTPException, _http_error)
    return Direct(app, direct)


def _parted(own: OwnRoutes, users: Endpoint, others: Endpoint) -> Endpoint:
    """Users of the node go one way, everybody else the other."""

    async def parted(request: Request) -> Response:
        return await (users if own.are_for(request) else others)(request)

    return parted


def _function(endpoint: Endpoint) -> Endpoint:
    """A route takes any other callable for an ASGI app."""

    async def routed(request: Request) -> Response:
        return await endpoint(request)

    return routed


class Routes:
    """What each path does. Errors are raised, for `Guarded` to answer."""

    def __init__(
        self,
        gateway: Gateway,
        relay: Relay,
        metrics: Metrics,
        intake: Intake,
        engine_models: Mapping[str, str],
    ):
        self._gateway, self._relay = gateway, relay
        self._metrics, self._intake = metrics, intake
        self._engine_models = engine_models
        self._reading_apart = asyncio.Semaphore(_READ_APART)

    def _credential(self, request: Request) -> Credential:
        return self._gateway.credential(request.headers.get(AUTHORIZATION))

    async def paid(self, request: Request) -> Response:
        async def serve(running: Running, engine_model: str) -> Answer | AsyncGenerator[bytes]:
            return await self._relay.serve(running, request.scope["path"], engine_model)

        return await self.sold(request, Ask.read, serve)

    async def sold(
        self, request: Request, reads: Callable[[bytes], Ask], serve: _Serve, *, apart: int = 0
    ) -> Response:
        """The answer to a request that is paid for; `serve` makes it where there is none yet. `apart`: bytes
        of its body at most, where reading it takes so long that others go on meanwhile."""
        credential, relay = self._credential(request), self._relay
        expect = request.headers.get(EXPECT)
        said = None if expect is None else read_expect(expect)
        async with self._intake.body(request, apart or None) as body:
            if apart and await self._gateway.is_new(credential, body):
                async with self._reading_apart:
                    read = await asyncio.to_thread(reads, body)
                reads = lambda _: read  # noqa: E731
            admitted = await self._gateway.admit(credential, body, said, reads)
        if isinstance(admitted, StoredAnswer):
            return _stored(admitted)
        if admitted.served:
            return await _followed(admitted, relay.patience_s)
        admitted.served = True
        try:
            model = admitted.ask.model
            answer = await serve(admitted, self._engine_models.get(model, model))
        except BaseException:
            await relay.abandon(admitted)
            raise
        if isinstance(answer, Answer):
            return _whole(answer, admitted)
        return StreamAnswer(answer, relay.patience_s, admitted, relay)

    async def voucher(self, request: Request) -> Response:
        return _json(await self._gateway.take_voucher(self._credential(request)))

    async def quote(self, request: Request) -> Response:
        credential = self._credential(request)
        async with self._intake.body(request) as body:
            return _json(await self._gateway.quote(credential, body))

    async def resync(self, request: Request) -> Response:
        credential = self._credential(request)
        async with self._intake.body(request) as body:
            return _json(await self._gateway.resync(credential, body))

    async def restore(self, request: Request) -> Response:
        credential = self._credential(request)
        async with self._intake.body(request) as body:
            return _json(await self._gateway.restore(credential, body))

    async def close(self, request: Request) -> Response:
        credential = self._credential(request)
        async with self._intake.body(request) as body:
            return _json(await self._gateway.close(credential, body))

    async def receipts(self, request: Request) -> Response:
        credential = self._credential(request)
        asked = {"channel": request.path_params["channel"], "from": "0", **request.query_params}
        channel_id = read_value("bytes32", asked["channel"], "channel")
        start, until = (read_value("uint64", asked.get(name), name) for name in ("from", "until"))
        return _json(page(self._gateway.books, credential, channel_id, start, until))

    async def models(self, _: Request) -> Response:
        return _json(listed.models(self._gateway.books))

    async def offers(self, _: Request) -> Response:
        return _json(listed.offers(self._gateway.books))

    async def exposition(self, _: Request) -> Response:
        media_type = "text/plain; version=0.0.4; charset=utf-8"
        return _plain(200, media_type, self._metrics.exposition(self._gateway))

    async def health(self, _: Request) -> Response:
        healthy, facts = self._metrics.health(self._gateway)
        return _json(facts, 200 if healthy else 503)

    async def openapi(self, _: Request) -> Response:
        return _json(document())


class Guarded:
    """An endpoint whose errors are answers, and whose refusals count against who caused them."""

    __slots__ = ("_endpoint", "_gateway", "_guard", "_metrics", "_suspect")

    def __init__(
        self,
        endpoint: Endpoint,
        gateway: Gateway,
        metrics: Metrics,
        guard: Guard,
        suspect: tuple[type[MarketError], ...],
    ):
        """`suspect`: refusals that count, whoever they may be of."""
        self._endpoint = endpoint
        self._gateway = gateway
        self._metrics = metrics
        self._guard = guard
        self._suspect = suspect

    async def __call__(self, request: Request) -> Response:
        peer = request.client.host if request.client else ""
        try:
            self._guard.require_welcome(peer)
            return await self._endpoint(request)
        except Refused as refused:
            self._metrics.refused(refused.error)
            if not refused.mined:
                self._guard.note_refusal(peer)
            return _error(refused.error, refused.terms)
        except MarketError as error:
            self._metrics.refused(error)
            if isinstance(error, self._suspect) or (
                isinstance(error, PaymentRequired) and _has_body(request)
            ):
                self._guard.note_refusal(peer)
            return _error(error, listed.blank_terms(self._gateway.books) if status_of(error) == 402 else None)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:
            log.exception("request.failed", error=type(error).__name__)
            failure = InternalFailure("The gateway failed. Its operator can find out why.")
            self._metrics.refused(failure)
            return _error(failure, None)


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


def _whole(answer: Answer, running: Running) -> Response:
    headers = {} if running.promise is None else {QUOTE: running.promise}
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
            return StreamAnswer(with_first(first, following), patience_s)
    answer = await asyncio.shield(running.answer)
    if isinstance(answer, MarketError):
        raise answer
    return _whole(answer, running) if answer else StreamAnswer(running.follow(), patience_s)


def _error(error: MarketError, terms: Terms | None) -> Response:
    status = status_of(error)
    headers = {}
    if status == 402 and terms is not None:
        headers[CHALLENGE] = challenge(terms)
    if status == 429:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(error, Bounced):
        headers["Retry-After"] = "0"
    return _plain(status, _JSON, orjson.dumps(error_json(error, terms)), headers)


async def _http_error(_: Request, error: Exception) -> Response:
    """No such route, or not with this method."""
    assert isinstance(error, HTTPException)
    found = RouteUnknown("This gateway has no such route.", actual=error.status_code)
    return _plain(error.status_code, _JSON, orjson.dumps(error_json(found)))
