"""The market as an OpenAI endpoint on this machine: for programs in any language.

A `Transport` behind a small HTTP server. Whoever comes in spends the payer's budget, so somebody else's web
page that a browser of this machine shows must not, and nobody comes in over the network without a key. It
knows no wallet: it is given what pays.
"""

import asyncio
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from typing import Final, Self

import httpx2
from aiohttp import ClientConnectionResetError, web

from tallystick.client.errors import CannotListen, KeyRequired, MalformedRequest, OriginRefused
from tallystick.client.transport import (
    BASE_URL,
    Transport,
    answer_lost,
    ending_in_words,
    error_body,
)
from tallystick.protocol.errors import MarketError

BODY_LIMIT: Final = 1 << 26
"""Bytes of a request."""
_TIMES: Final = {"connect": 10.0, "read": 600.0, "write": 600.0, "pool": 600.0}
"""Seconds, as the openai package has them: who waits less closes its connection."""
_PASSED_IN: Final = ("content-type", "x-stainless-retry-count", "idempotency-key")
_GRACE_S: Final = 10.0
"""How long running answers may take once the proxy is told to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Who may come in. Without a key: programs of this machine that are no web pages."""

    key: str | None

    def require_welcome(self, headers: Mapping[str, str]) -> None:
        """Raises KeyRequired or OriginRefused."""
        if self.key is not None:
            scheme, _, given = headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not _equal(given.strip(), self.key):
                raise KeyRequired("This proxy takes requests with its API key only: Authorization: Bearer …")
        elif "Origin" in headers or "Sec-Fetch-Site" in headers or not is_loopback(_host(headers)):
            raise OriginRefused(
                "Without an API key this proxy serves no web pages: they could spend what is yours. Start it "
                "with a key, and send that."
            )

    def require_safe(self, host: str) -> None:
        """Raises KeyRequired where others could come in."""
        if self.key is None and not is_loopback(host):
            raise KeyRequired(
                f"Others could reach {host} and spend what is yours. Give the proxy an API key, or an "
                "address of this machine alone."
            )


def is_loopback(host: str) -> bool:
    """Of this machine alone, whatever a name server says."""
    try:
        return host.lower().rstrip(".") == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _equal(given: str, key: str) -> bool:
    """In a time that does not tell how much of it is right."""
    hashed = (sha256(text.encode(errors="surrogateescape")).digest() for text in (given, key))
    return compare_digest(*hashed)


def _host(headers: Mapping[str, str]) -> str:
    """Of the Host header: a page whose name was made to lead here still says its own."""
    return httpx2.URL(f"http://{headers.get('Host', '')}").host


class Proxy:
    """Started, it serves while its event loop runs; closed, it has acknowledged what it received."""

    def __init__(self, transport: Transport, door: Door):
        self.answered = 0
        """Requests, refusals among them."""
        self._transport = transport
        self._door = door
        self._running: set[asyncio.Task[object]] = set()
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(
            app,
            handler_cancellation=True,  # Who hangs up wants no more of an answer that costs.
            access_log=None,
            shutdown_timeout=_GRACE_S,
        )
        self.url = ""
        """For a program's `base_url`, once it is started."""

    async def start(self, host: str, port: int) -> Self:
        """Raises KeyRequired or CannotListen."""
        self._door.require_safe(host)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise CannotListen(f"Nothing can listen on {host} port {port}: {error.strerror}.") from error
        address, bound = self._runner.addresses[0][:2]
        self.url = f"http://{f'[{address}]' if ':' in address else address}:{bound}/v1"
        return self

    async def serve(self) -> None:
        """Until SIGINT or SIGTERM; then what runs may end, and a second signal ends it."""
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        _on_signals(loop, told.set)
        await told.wait()
        _on_signals(loop, self._hurry)
        await self._runner.cleanup()

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return len(self._running)

    async def aclose(self) -> None:
        """No more is served; what is received and not yet acknowledged is."""
        await self._runner.cleanup()
        await self._transport.aclose()

    def _hurry(self) -> None:
        for task in self._running:
            task.cancel()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        self.answered += 1
        try:
            self._door.require_welcome(request.headers)
            return await self._paid(request, await request.read())
        except web.HTTPRequestEntityTooLarge:
            return _refused(413, MalformedRequest("The request is too large.", required=BODY_LIMIT))
        except MarketError as error:
            return _refused(_STATUS.get(type(error), 502), error)
        finally:
            self._running.discard(task)

    async def _paid(self, request: web.Request, body: bytes) -> web.StreamResponse:
        path = request.path.removeprefix("/v1")
        try:
            response = await self._transport.handle_async_request(
                httpx2.Request(
                    request.method,
                    BASE_URL + path,
                    headers={name: request.headers[name] for name in _PASSED_IN if name in request.headers},
                    content=body,
                    extensions={"timeout": _TIMES},
                )
            )
        except httpx2.TransportError as error:
            raise answer_lost(error) from error
        try:
            return await self._passed_on(request, response)
        finally:
            await response.aclose()

    async def _passed_on(self, request: web.Request, response: httpx2.Response) -> web.StreamResponse:
        blocks = response.aiter_raw()
        if "content-length" in response.headers:
            body = b"".join([block async for block in blocks])
            return web.Response(status=response.status_code, headers=_headers(response), body=body)
        answer = web.StreamResponse(status=response.status_code, headers=_headers(response))
        await answer.prepare(request)
        with suppress(ClientConnectionResetError):  # It hung up: no more is bought.
            async for block in ending_in_words(blocks):
                await answer.write(block)
            await answer.write_eof()
        return answer


_STATUS: Final[Mapping[type[MarketError], int]] = {KeyRequired: 401, OriginRefused: 403}


def _headers(response: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name != "content-length"}


def _refused(status: int, error: MarketError) -> web.Response:
    headers = {"x-should-retry": str(error.retryable).lower()}
    return web.Response(
        status=status, headers=headers, body=error_body(error), content_type="application/json"
    )


def _on_signals(loop: asyncio.AbstractEventLoop, act: Callable[[], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, act)
