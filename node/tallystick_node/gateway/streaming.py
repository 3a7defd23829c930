"""A stream's way out: its head, its blocks as they come, and a payer that may go meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import structlog
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from tallystick.protocol.errors import ChannelLost
from tallystick.protocol.receipt import Finish
from tallystick.protocol.units import to_hex
from tallystick.protocol.wire import QUOTE
from tallystick_node.gateway.patience import Patience
from tallystick_node.gateway.relay import EVENT_STREAM, Relay, Running

_PROMISE: Final = QUOTE.lower().encode()

log = structlog.get_logger("tallystick.gateway")


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
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        if running is not None and running.promise is not None:
            self.raw_headers.append((_PROMISE, running.promise.encode()))
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
        try:
            async for block in self._blocks:
                if block:
                    await self._send(send, {"type": "http.response.body", "body": block, "more_body": True})
                if self._gone and self._running is None:
                    break
        except ChannelLost as error:  # No receipt may follow, so the stream ends without one.
            channel = None if self._running is None else to_hex(self._running.tab.id)
            log.warning("answer.cut", channel=channel, code=error.code)
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
