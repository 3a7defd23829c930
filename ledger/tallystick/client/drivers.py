"""The two ways to run a flow: by blocking, and under an event loop. Nothing is decided here."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from math import inf
from threading import Condition, Lock, Thread, get_ident
from typing import Any, TypeVar, assert_never

import anyio
import anyio.to_thread
import httpx2

from tallystick.client.flow import (
    Drop,
    Emit,
    End,
    Exchange,
    Failed,
    Flow,
    Inward,
    Outward,
    Read,
    Respond,
    Returned,
    Run,
    Send,
    Sleep,
    Together,
)
from tallystick.client.interrupting import hang_up
from tallystick.client.pools import Pools
from tallystick.client.requesting import (
    allow,
    asynchronous_head,
    asynchronous_piece,
    blocking_head,
    blocking_piece,
    request_of,
)

T = TypeVar("T")


class Blocking:
    """One flow under a thread."""

    __slots__ = ("_closed", "_ended", "_flow", "_lock", "_open", "_over", "_pools", "_race")

    def __init__(self, pools: Pools, flow: Flow[object], over: Callable[[], bool] = lambda: False):
        self._pools = pools
        self._flow = flow
        self._over = over
        self._open: list[Exchange] = []
        self._lock = Lock()
        """The flow goes on or is closed, never both at a time."""
        self._closed = self._ended = False
        self._race: _Race | None = None

    def advance(self) -> Outward | None:
        """Runs until the caller is to be told something; None: the flow has ended."""
        try:
            effect = self._run()
        except BaseException:
            self._drop_all()
            raise
        if effect is None:
            self._drop_all()
        return effect

    def close(self) -> None:
        """Ends the flow where it stands."""
        try:
            self._flow.close()
        finally:
            self._drop_all()

    def _run(self) -> Outward | None:
        result: object = None
        error: BaseException | None = None
        while True:
            with self._lock:
                if self._closed:
                    return None
                try:
                    effect = self._flow.send(result) if error is None else self._flow.throw(error)
                except StopIteration:
                    self._ended = True
                    return None
            if isinstance(effect, Respond | Emit):
                return effect
            result, error = None, None
            try:
                self._require_time()
                result = self._perform(effect)
                self._require_time()
            except BaseException as raised:  # noqa: BLE001  # the flow decides
                error = raised

    def abandon(self) -> None:
        """Ends the flow from another thread, unless it has ended. Its own cleans up when it wakes."""
        with self._lock:
            if self._ended:
                return
            self._closed = True
            race = self._race
            try:
                self._flow.close()
            finally:
                for exchange in self._open:
                    hang_up(exchange.response.extensions.get("network_stream"))
        if race is not None:
            race.stop()

    def _require_time(self) -> None:
        if self._over():
            raise httpx2.ReadTimeout("There is no time left for it.")

    def _perform(self, effect: Inward) -> object:
        match effect:
            case Send():
                request, transport = request_of(effect), self._pools.of(effect.endpoint).blocking
                response = blocking_head(transport, request, self._pools.waits)
                allow(request, effect.timeout)
                assert isinstance(response.stream, httpx2.SyncByteStream)
                exchange = Exchange(response, iter(response.stream), effect.timeout.get("read"))
                self._open.append(exchange)
                return exchange
            case Read(exchange):
                if not (data := blocking_piece(exchange, self._pools.waits)):
                    self._drop(exchange)
                return data
            case Drop(exchange):
                self._drop(exchange)
            case Sleep(seconds):
                time.sleep(seconds)
            case Run(function):
                function()
            case Together():
                return self._together(effect)
            case _:
                assert_never(effect)
        return None

    def _together(self, effect: Together) -> list[End[Any]]:
        race = _Race(effect, [_Branch(self._pools, flow, self._over) for flow in effect.flows])
        with self._lock:
            self._race = race
            closed = self._closed
        try:
            if not closed:
                race.run()
        finally:
            race.stop()
            self._race = None
            for branch in race.branches:
                self._open += branch.take()
        return [branch.end for branch in race.branches]

    def _drop(self, exchange: Exchange) -> None:
        with self._lock:
            if exchange not in self._open:
                return
            self._open.remove(exchange)
        exchange.response.close()

    def _drop_all(self) -> None:
        while self._open:
            self._drop(self._open[-1])


class _Branch(Blocking):
    """One of several flows, with a thread of its own."""

    __slots__ = ("_box", "_error", "_thread")

    def __init__(self, pools: Pools, flow: Flow[Any], over: Callable[[], bool]):
        self._box = _Boxed(flow)
        super().__init__(pools, self._box.flow(), over)
        self._error: Exception | None = None
        self._thread: int | None = None
        """In which it runs now."""

    def abandon(self) -> None:
        super().abandon()
        with self._lock:
            if self._closed and self._thread is not None:
                self._pools.waits.end(self._thread)

    def work(self, ended: Callable[[], None]) -> None:
        self._thread = get_ident()
        try:
            assert self._run() is None
        except Exception as error:  # noqa: BLE001  # whose flow it is decides
            self._error = error
        finally:
            with self._lock:
                self._pools.waits.forget(self._thread)
                self._thread = None
            if not self._ended:
                self._drop_all()
            ended()

    @property
    def end(self) -> End[Any]:
        """As far as it came."""
        if self._ended:
            return Returned(self._box.value)
        return None if self._error is None else Failed(self._error)

    def take(self) -> list[Exchange]:
        """What it leaves open to whoever goes on with its result."""
        return self._open if self._ended else []


class _Race:
    """Flows side by side. Nobody waits for the thread of one that is closed: it ends by itself."""

    __slots__ = ("_changed", "_enough", "_stopped", "branches")

    def __init__(self, effect: Together, branches: list[_Branch]):
        self.branches = branches
        self._enough = effect.enough
        self._changed = Condition()
        self._stopped = False

    def run(self) -> None:
        """Until they are enough, or it is stopped."""
        for branch in self.branches:
            Thread(target=branch.work, args=(self._tell,), name="tallystick-flow", daemon=True).start()
        with self._changed:
            self._changed.wait_for(self._over)

    def stop(self) -> None:
        self._tell(stop=True)
        with ExitStack() as each:
            for branch in self.branches:
                each.callback(branch.abandon)

    def _over(self) -> bool:
        return self._stopped or self._enough([branch.end for branch in self.branches])

    def _tell(self, *, stop: bool = False) -> None:
        with self._changed:
            self._stopped = self._stopped or stop
            self._changed.notify_all()


class Asynchronous:
    """One flow under an event loop."""

    __slots__ = ("_flow", "_open", "_pools")

    def __init__(self, pools: Pools, flow: Flow[object]):
        self._pools = pools
        self._flow = flow
        self._open: list[Exchange] = []

    async def advance(self) -> Outward | None:
        """As `Blocking.advance`."""
        try:
            effect = await self._run()
        except BaseException:
            await self._drop_all()
            raise
        if effect is None:
            await self._drop_all()
        return effect

    async def close(self) -> None:
        try:
            self._flow.close()
        finally:
            await self._drop_all()

    async def _run(self) -> Outward | None:
        result: object = None
        error: BaseException | None = None
        while True:
            try:
                effect = self._flow.send(result) if error is None else self._flow.throw(error)
            except StopIteration:
                return None
            if isinstance(effect, Respond | Emit):
                return effect
            result, error = None, None
            try:
                result = await self._perform(effect)
            except BaseException as raised:  # noqa: BLE001  # the flow decides
                error = raised

    async def _perform(self, effect: Inward) -> object:
        match effect:
            case Send():
                request, transport = request_of(effect), self._pools.of(effect.endpoint).asynchronous
                response = await asynchronous_head(transport, request)
                allow(request, effect.timeout)
                assert isinstance(response.stream, httpx2.AsyncByteStream)
                exchange = Exchange(response, aiter(response.stream), effect.timeout.get("read"))
                self._open.append(exchange)
                return exchange
            case Read(exchange):
                if not (data := await asynchronous_piece(exchange)):
                    await self._drop(exchange)
                return data
            case Drop(exchange):
                await self._drop(exchange)
            case Sleep(seconds):
                await anyio.sleep(seconds)
            case Run(function):
                await anyio.to_thread.run_sync(function)
            case Together():
                return await self._together(effect)
            case _:
                assert_never(effect)
        return None

    async def _together(self, effect: Together) -> list[End[Any]]:
        ends: list[End[Any]] = [None] * len(effect.flows)
        async with anyio.create_task_group() as group:

            async def one(index: int, box: _Boxed) -> None:
                branch = Asynchronous(self._pools, box.flow())
                try:
                    assert await branch._run() is None
                    ends[index] = Returned(box.value)
                    self._open += branch._open
                except Exception as error:  # noqa: BLE001  # whose flow it is decides
                    ends[index] = Failed(error)
                    await branch._drop_all()
                except BaseException:
                    await branch.close()
                    raise
                if effect.enough(ends):
                    group.cancel_scope.cancel()

            for index, flow in enumerate(effect.flows):
                group.start_soon(one, index, _Boxed(flow))
        return ends

    async def _drop(self, exchange: Exchange) -> None:
        if exchange in self._open:
            self._open.remove(exchange)
            with anyio.CancelScope(shield=True):
                await exchange.response.aclose()

    async def _drop_all(self) -> None:
        while self._open:
            await self._drop(self._open[-1])


class _Boxed:
    """A flow's result, kept for whoever runs it without looking at `StopIteration`."""

    __slots__ = ("_flow", "value")

    def __init__(self, flow: Flow[Any]):
        self._flow = flow
        self.value: Any = None

    def flow(self) -> Flow[None]:
        self.value = yield from self._flow


def run_blocking(
    pools: Pools, flow: Flow[T], *, over: Callable[[], bool] = lambda: False, within: float = inf
) -> T:
    """Runs a flow that tells its caller nothing on the way; its result. Once it is `over`, or takes longer
    than `within` seconds, whatever the flow asks of the world ends in an httpx2.ReadTimeout."""
    box, until = _Boxed(flow), time.monotonic() + within
    late = Blocking(pools, box.flow(), lambda: over() or time.monotonic() > until)
    assert late.advance() is None
    value: T = box.value
    return value


async def run_asynchronous(pools: Pools, flow: Flow[T]) -> T:
    """As `run_blocking`."""
    box = _Boxed(flow)
    assert await Asynchronous(pools, box.flow()).advance() is None
    value: T = box.value
    return value
