"""The short way to the routes that are on every request's path: by one look-up, past the routing and the
middleware that the others go through. It knows no payment."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable[Response]]


class Direct:
    """An ASGI app: POSTs to the paths of `endpoints` go to them, everything else to `app`."""

    def __init__(self, app: ASGIApp, endpoints: Mapping[str, Endpoint]):
        self._app = app
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get(scope["path"]) if scope.get("method") == "POST" else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        response = await endpoint(Request(scope, receive))
        await response(scope, receive, send)
