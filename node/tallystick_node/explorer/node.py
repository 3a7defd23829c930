"""What is asked of the chain's node while a visitor waits: a block, a transaction, a trace, a code.

It asks the one node that the explorer follows, never an address that came from the chain, a few questions at
a time, each for a few seconds at most, and remembers answers for a while.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar, cast

from tallystick.chain.errors import ChainUnavailable, RpcError
from tallystick.chain.rpc import Rpc
from tallystick_node.explorer.answers import (
    Found,
    Frame,
    NodeBlock,
    code_of,
    frames_of_calls,
    frames_of_traces,
)

T = TypeVar("T")

_THREADS: Final = 4
_WAITING: Final = 16
"""Questions begun and not answered; one more is refused."""
_LIMIT_S: Final = 4.0
"""A visitor waits no longer for one answer."""
_KEPT: Final = 256
"""Answers."""
_KEPT_S: Final = 10.0
"""A reorganisation may change any of them."""
_UNKNOWN_METHOD: Final = (-32601, -32600, -32004)
"""What nodes answer to a method that they lack, or do not offer here."""


class Node:
    """The chain's node. Every question raises ChainUnavailable where no answer comes."""

    def __init__(self, rpc: Rpc, *, limit_s: float = _LIMIT_S):
        self._rpc = rpc
        self._limit_s = limit_s
        self._threads = ThreadPoolExecutor(_THREADS, "explorer-node")
        self._waiting = 0
        self._kept: OrderedDict[tuple[Any, ...], tuple[float, asyncio.Task[Any]]] = OrderedDict()
        self._tracers: list[str] = ["debug_traceTransaction", "trace_transaction"]

    @property
    def traces(self) -> bool:
        """False once the node has said that it offers no traces."""
        return bool(self._tracers)

    async def block(self, at: int | bytes) -> NodeBlock | None:
        """By number or hash; None: the chain has none such."""
        by_hash = isinstance(at, bytes)
        method = "eth_getBlockByHash" if by_hash else "eth_getBlockByNumber"
        name = f"0x{at.hex()}" if isinstance(at, bytes) else hex(at)

        async def ask() -> NodeBlock | None:
            answer = await self._ask(lambda: self._rpc.call(method, name, False))
            return None if answer is None else NodeBlock.read(answer)

        return await self._remembered(("block", at), ask)

    async def transaction(self, hash: bytes) -> Found | None:
        """With what became of it; None: the node knows none such."""
        name = f"0x{hash.hex()}"
        questions = [("eth_getTransactionByHash", [name]), ("eth_getTransactionReceipt", [name])]

        async def ask() -> Found | None:
            sent, receipt = await self._ask(lambda: self._rpc.batch(questions))
            return None if sent is None else Found.read(sent, receipt)

        return await self._remembered(("transaction", hash), ask)

    async def trace(self, hash: bytes) -> tuple[Frame, ...] | None:
        """The calls that it made, in order; None: the node tells none."""

        async def ask() -> tuple[Frame, ...] | None:
            for method in tuple(self._tracers):
                answer = await self._asked_to_trace(method, f"0x{hash.hex()}")
                if answer and isinstance(answer, list):
                    return frames_of_traces(answer)
                if isinstance(answer, dict) and "from" in answer:  # Else steps of the machine, or of nothing.
                    return frames_of_calls(answer)
            return None

        return await self._remembered(("trace", hash), ask)

    async def _asked_to_trace(self, method: str, name: str) -> Any:
        options = [] if method == "trace_transaction" else [self._tracer]
        try:
            return await self._ask(lambda: self._rpc.call(method, name, *options))
        except RpcError as error:
            if error.number in _UNKNOWN_METHOD and method in self._tracers:
                self._tracers.remove(method)
            return None

    @property
    def _tracer(self) -> dict[str, str]:
        return {"tracer": "callTracer", "timeout": f"{self._limit_s:.0f}s"}

    async def code(self, address: bytes) -> bytes:
        """What runs there; empty: no contract."""
        name = f"0x{address.hex()}"

        async def ask() -> bytes:
            return code_of(await self._ask(lambda: self._rpc.call("eth_getCode", name, "latest")))

        return await self._remembered(("code", address), ask)

    async def call(self, contract: bytes, data: bytes) -> bytes:
        """What a contract answers; raises RpcError where it refuses."""
        question = {"to": f"0x{contract.hex()}", "data": f"0x{data.hex()}"}

        async def ask() -> bytes:
            return code_of(await self._ask(lambda: self._rpc.call("eth_call", question, "latest")))

        return await self._remembered(("call", contract, data), ask)

    async def close(self) -> None:
        for _, task in self._kept.values():
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._rpc.close()

    async def _remembered(self, question: tuple[Any, ...], ask: Callable[[], Awaitable[T]]) -> T:
        """One question to the node however many ask it at once, and none while its answer is fresh."""
        now = time.monotonic()
        kept = self._kept.get(question)
        if kept is None or now - kept[0] > _KEPT_S or _failed(kept[1]):
            kept = now, asyncio.ensure_future(ask())
            kept[1].add_done_callback(_failed)  # Looked at, also where nobody waits any more.
            self._kept[question] = kept
            self._kept.move_to_end(question)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return cast(T, await asyncio.shield(kept[1]))

    async def _ask(self, question: Callable[[], T]) -> T:
        if self._waiting >= _WAITING:
            raise ChainUnavailable("The chain's node is asked too much at once. Try again in a moment.")
        self._waiting += 1
        future = self._threads.submit(question)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: _soon(loop, self._answered))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._limit_s)
        except TimeoutError as error:
            raise ChainUnavailable(
                f"The chain's node gave no answer within {self._limit_s:.0f} seconds."
            ) from error

    def _answered(self) -> None:
        self._waiting -= 1


def _soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    if not loop.is_closed():  # The server may have ended while a thread still waited.
        loop.call_soon_threadsafe(callback)


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
