"""The two ways to run a flow: by blocking, and under an event loop. Nothing is decided here."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar, assert_never

import anyio
import anyio.to_thread
import httpx2

from tallystick.client.flow import (
    Drop,
    Emit,
    Exchange,
    Flow,
    Inward,
    Outward,
    Read,
    Respond,
    Run,
    Send,
    Sleep,
)
from tallystick.client.pools import Pools

T = TypeVar("T")


class Blocking:
    """One flow under a thread."""

    __slots__ = ("_flow", "_open", "_over", "_pools")

    def __init__(self, pools: Pools, flow: Flow[object], over: Callable[[], bool] = lambda: False):
        self._pools = pools
        self._flow = flow
        self._over = over
        self._open: list[Exchange] = []

    def advance(self) -> Outward | None:
        """Runs until the caller is to be told something; None: the flow has ended."""
        result: object = None
        error: BaseException | None = None
        while True:
            try:
                effect = self._flow.send(result) if error is None else self._flow.throw(error)
            except StopIteration:
                self._drop_all()
                return None
            except BaseException:
                self._drop_all()
                raise
            if isinstance(effect, Respond | Emit):
                return effect
            result, error = None, None
            try:
                self._require_time()
                result = self._perform(effect)
                self._require_time()
            except BaseException as raised:  # noqa: BLE001  # the flow decides
                error = raised

    def close(self) -> None:
        """Ends the flow where it stands."""
        try:
            self._flow.close()
        finally:
            self._drop_all()

    def _require_time(self) -> None:
        if self._over():
            raise httpx2.ReadTimeout("There is no time left for it.")

    def _perform(self, effect: Inward) -> object:
        match effect:
            case Send():
                request = _request(effect)
                response = self._pools.of(effect.endpoint).blocking.handle_request(request)
                assert isinstance(response.stream, httpx2.SyncByteStream)
                exchange = Exchange(response, iter(response.stream), effect.timeout.get("read"))
                self._open.append(exchange)
                return exchange
            case Read(exchange):
                assert isinstance(exchange.chunks, Iterator)
                for data in exchange.chunks:
                    if data:
                        return data
                self._drop(exchange)
                return b""
            case Drop(exchange):
                self._drop(exchange)
            case Sleep(seconds):
                time.sleep(seconds)
            case Run(function):
                function()
            case _:
                assert_never(effect)
        return None

    def _drop(self, exchange: Exchange) -> None:
        if exchange in self._open:
            self._open.remove(exchange)
            exchange.response.close()

    def _drop_all(self) -> None:
        while self._open:
            self._drop(self._open[-1])


class Asynchronous:
    """One flow under an event loop."""

    __slots__ = ("_flow", "_open", "_pools")

    def __init__(self, pools: Pools, flow: Flow[object]):
        self._pools = pools
        self._flow = flow
        self._open: list[Exchange] = []

    async def advance(self) -> Outward | None:
        """As `Blocking.advance`."""
        result: object = None
        error: BaseException | None = None
        while True:
            try:
                effect = self._flow.send(result) if error is None else self._flow.throw(error)
            except StopIteration:
                await self._drop_all()
                return None
            except BaseException:
                await self._drop_all()
                raise
            if isinstance(effect, Respond | Emit):
                return effect
            result, error = None, None
            try:
                result = await self._perform(effect)
            except BaseException as raised:  # noqa: BLE001  # the flow decides
                error = raised

    async def close(self) -> None:
        try:
            self._flow.close()
        finally:
            await self._drop_all()

    async def _perform(self, effect: Inward) -> object:
        match effect:
            case Send():
                request = _request(effect)
                response = await self._pools.of(effect.endpoint).asynchronous.handle_async_request(request)
                assert isinstance(response.stream, httpx2.AsyncByteStream)
                exchange = Exchange(response, aiter(response.stream), effect.timeout.get("read"))
                self._open.append(exchange)
                return exchange
            case Read(exchange):
                assert isinstance(exchange.chunks, AsyncIterator)
                async for data in exchange.chunks:
                    if data:
                        return data
                await self._drop(exchange)
                return b""
            case Drop(exchange):
                await self._drop(exchange)
            case Sleep(seconds):
                await anyio.sleep(seconds)
            case Run(function):
                await anyio.to_thread.run_sync(function)
            case _:
                assert_never(effect)
        return None

    async def _drop(self, exchange: Exchange) -> None:
        if exchange in self._open:
            self._open.remove(exchange)
            with anyio.CancelScope(shield=True):
                await exchange.response.aclose()

    async def _drop_all(self) -> None:
        while self._open:
            await self._drop(self._open[-1])


def _request(effect: Send) -> httpx2.Request:
    return httpx2.Request(
        "POST",
        effect.endpoint.url.rstrip("/") + effect.path,
        headers=effect.headers,
        content=effect.body,
        extensions={"timeout": dict(effect.timeout)},
    )


def run_blocking(pools: Pools, flow: Flow[T], *, over: Callable[[], bool] = lambda: False) -> T:
    """Runs a flow that tells its caller nothing on the way; its result. Once it is `over`, whatever the flow
    asks of the world ends in an httpx2.ReadTimeout."""
    box: list[T] = []

    def boxed() -> Flow[None]:
        box.append((yield from flow))

    assert Blocking(pools, boxed(), over).advance() is None
    return box[0]


async def run_asynchronous(pools: Pools, flow: Flow[T]) -> T:
    """As `run_blocking`."""
    box: list[T] = []

    def boxed() -> Flow[None]:
        box.append((yield from flow))

    assert await Asynchronous(pools, boxed()).advance() is None
    return box[0]
