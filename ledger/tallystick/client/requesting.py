"""A `Send` and a `Read` over httpx2, each with its time as a whole: a single read is late only where nothing
at all comes, and a byte now and then could come for ever. Nothing is decided here."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

import anyio
import httpx2

from tallystick.client.flow import Exchange, Send
from tallystick.client.interrupting import Waits


def request_of(effect: Send) -> httpx2.Request:
    timeout = dict(effect.timeout)
    if effect.head_s is not None:
        allowed = timeout.get("read")
        timeout["read"] = effect.head_s if allowed is None else min(effect.head_s, allowed)
    return httpx2.Request(
        "POST",
        effect.endpoint.url.rstrip("/") + effect.path,
        headers=effect.headers,
        content=effect.body,
        extensions={"timeout": timeout},
    )


def allow(request: httpx2.Request, timeout: Mapping[str, float | None]) -> None:
    """To read the body in: the transport looks when it begins with that."""
    request.extensions["timeout"].update(timeout)


def blocking_head(transport: httpx2.BaseTransport, request: httpx2.Request, waits: Waits) -> httpx2.Response:
    """Of the answer, if it comes in time."""
    with waits.within(_longest(request)):
        return transport.handle_request(request)


async def asynchronous_head(transport: httpx2.AsyncBaseTransport, request: httpx2.Request) -> httpx2.Response:
    """As `blocking_head`."""
    with _within(_longest(request)):
        return await transport.handle_async_request(request)


def blocking_piece(exchange: Exchange, waits: Waits) -> bytes:
    """The next one of the body, if it comes in time; empty at its end."""
    assert isinstance(exchange.chunks, Iterator)
    with waits.within(exchange.patience):
        for data in exchange.chunks:
            if data:
                return bytes(data)
    return b""


async def asynchronous_piece(exchange: Exchange) -> bytes:
    """As `blocking_piece`."""
    assert isinstance(exchange.chunks, AsyncIterator)
    with _within(exchange.patience):
        async for data in exchange.chunks:
            if data:
                return bytes(data)
    return b""


@contextmanager
def _within(seconds: float | None) -> Iterator[None]:
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError as error:
        raise httpx2.ReadTimeout("It trickles, and does not come to its end.") from error


def _longest(request: httpx2.Request) -> float | None:
    """Seconds for the head: no answer is late by them that is not by a single wait. None: any time."""
    timeout: Mapping[str, float | None] = request.extensions["timeout"]
    each = [timeout.get(name) for name in ("pool", "connect", "write", "read")]
    known = [seconds for seconds in each if seconds is not None]
    return sum(known) if len(known) == len(each) else None
