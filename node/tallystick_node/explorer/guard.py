"""What stands in front of every page: headers that keep a browser from running or fetching anything that is
not ours, and a limit on how much one address may ask.
"""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tallystick_node.explorer.errors import TooMany

_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src {connect}; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
CSP: Final = _CSP.format(connect="'self'")
VERIFY_CSP: Final = _CSP.format(connect="'self' https: http://127.0.0.1:* http://localhost:*")
"""There the browser may ask a node of the visitor's own choice."""
VERIFY: Final = "/verify"
SAFE: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Of every answer, but that `/verify` has another policy."""
Refuse = Callable[[Request, Exception], Awaitable[Response]]
_LASTING: Final = "public, max-age=86400"
"""Of static files: their addresses change with what they hold."""


class Headers:
    """Sets the headers of every answer."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SAFE)
                if path == VERIFY:
                    headers["Content-Security-Policy"] = VERIFY_CSP
                static = path.startswith("/static/") and message["status"] == 200
                headers.setdefault("Cache-Control", _LASTING if static else "no-cache")
            await send(message)

        await self._app(scope, receive, with_headers)


@dataclass(frozen=True, slots=True)
class Limit:
    """Requests of one address: `rate` a second in the long run, `burst` at once."""

    rate: float = 20.0
    burst: int = 120
    addresses: int = 10_000
    """Remembered at most; the one that has been silent longest is forgotten first."""


class Buckets:
    """One bucket of tokens an address, filled by the clock."""

    def __init__(self, limit: Limit, clock: Callable[[], float] = time.monotonic):
        self._limit = limit
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> bool:
        """Whether the address may ask now."""
        now = self._clock()
        level, then = self._levels.pop(address, (float(self._limit.burst), now))
        level = min(self._limit.burst, level + (now - then) * self._limit.rate)
        allowed = level >= 1
        self._levels[address] = (level - 1 if allowed else level, now)
        if len(self._levels) > self._limit.addresses:
            self._levels.popitem(last=False)
        return allowed


def neighbourhood(address: str) -> str:
    """Whom a limit is for: an IPv4 address, or the /64 of an IPv6 one, which one household has whole."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def asking(scope: Scope) -> str:
    """Who asks, for limits; empty where it is not known."""
    client = scope.get("client")
    return "" if client is None else neighbourhood(client[0])


class RateLimit:
    """Refuses who asks too much. Static files are free: they are cached."""

    def __init__(self, app: ASGIApp, buckets: Buckets, refuse: Refuse):
        self._app = app
        self._buckets = buckets
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        counts = scope["type"] == "http" and not scope["path"].startswith("/static/")
        who = asking(scope)
        if not counts or not who or self._buckets.take(who):
            await self._app(scope, receive, send)
            return
        response = await self._refuse(Request(scope), TooMany("Ask again in a second."))
        await response(scope, receive, send)
