"""Own users over HTTP: who comes with an API key of the node's is answered by `Own`, on the routes that
payers use. Nothing is decided here."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final, Protocol, TypeVar

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from tallystick.protocol.wire import AUTHORIZATION
from tallystick_node.gateway.errors import Draining
from tallystick_node.gateway.intake import Intake
from tallystick_node.gateway.patience import Patience
from tallystick_node.network.own import Answer
from tallystick_node.network.users import Users, is_bearer

T = TypeVar("T")
_NO_STORE: Final = (b"cache-control", b"no-store")
_REPEATS: Final = ("x-stainless-retry-count", "idempotency-key")


class Answers(Protocol):
    async def answer(self, user: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer: ...


class OwnRoutes:
    """What own users may do."""

    def __init__(
        self,
        users: Users,
        own: Answers,
        *,
        intake: Intake,
        models: Callable[[], list[str]],
        draining: Callable[[], bool],
        patience_s: float,
    ):
        self._users = users
        self._own = own
        self._intake = intake
        self._models = models
        self._draining = draining
        self._patience_s = patience_s

    @staticmethod
    def are_for(request: Request) -> bool:
        """Whether somebody comes as a user, and not as a payer."""
        return is_bearer(request.headers.get(AUTHORIZATION, ""))

    async def answer(self, request: Request) -> Response:
        """Raises OriginError, or what reading a body does."""
        user = self._users.user(request.headers[AUTHORIZATION])
        if self._draining():
            raise Draining("The node is shutting down.")
        async with self._intake.body(request) as body:
            headers = {name: request.headers[name] for name in _REPEATS if name in request.headers}
            answering = self._own.answer(user.name, request.scope["path"], body, headers)
            answer = await _unless_gone(request.receive, answering)
        return OwnAnswer(answer, self._patience_s)

    async def models(self, request: Request) -> Response:
        """All that this node has and others sell; raises UserUnknown."""
        self._users.user(request.headers[AUTHORIZATION])
        listed = [
            {"id": model, "object": "model", "created": 0, "owned_by": "tallystick"}
            for model in self._models()
        ]
        response = Response(orjson.dumps({"object": "list", "data": listed}), media_type="application/json")
        response.raw_headers.append(_NO_STORE)
        return response


class OwnAnswer(Response):
    """Sent until it ends, or its reader has gone: then nothing of it is wanted any more."""

    def __init__(self, answer: Answer, patience_s: float):
        super().__init__()
        self._answer = answer
        self._patience = Patience(patience_s)
        self.status_code = answer.status
        told = {"content-type": answer.media_type, **answer.headers}
        if answer.content is not None:
            told["content-length"] = str(len(answer.content))
        else:
            told["x-accel-buffering"] = "no"
        self.raw_headers = [
            *((name.lower().encode(), value.encode("latin-1")) for name, value in told.items()),
            _NO_STORE,
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with suppress(ClientDisconnect, TimeoutError):
                await _unless_gone(receive, self._pass_on(send))
        finally:
            await self._answer.aclose()

    async def _pass_on(self, send: Send) -> None:
        with self._patience:
            await self._send(send, {"type": "http.response.start"})
            if self._answer.content is not None:
                await self._send(send, {"type": "http.response.body", "body": self._answer.content})
                return
            async for block in self._answer:
                await self._send(send, {"type": "http.response.body", "body": block, "more_body": True})
            await self._send(send, {"type": "http.response.body", "body": b""})

    async def _send(self, send: Send, message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "status": self.status_code, "headers": self.raw_headers}
        await self._patience.wait(send(message))


async def _unless_gone(receive: Receive, step: Awaitable[T]) -> T:
    """What `step` comes to, unless whoever asked hangs up before: then it is cancelled. Raises
    ClientDisconnect."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    stepping, going = asyncio.ensure_future(step), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({stepping, going}, return_when=asyncio.FIRST_COMPLETED)
        if not stepping.done():
            raise ClientDisconnect
        return stepping.result()
    finally:
        for task in (stepping, going):
            task.cancel()
        await asyncio.gather(stepping, going, return_exceptions=True)
