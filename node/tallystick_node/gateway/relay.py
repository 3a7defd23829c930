"""One request's way through the engine and back: what is passed on, counted, paid for on the way, and kept.

What to reserve, when to pause and what a receipt says is decided by `admission` and `metering`.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from tallystick.crash import point
from tallystick.protocol.errors import ChannelLost, MarketError
from tallystick.protocol.receipt import Finish
from tallystick.protocol.units import Atoms, Hash32
from tallystick.protocol.wire import RECEIPT_COMMENT
from tallystick_node.engine.upstream import DONE, EngineGone, Reply, Upstream
from tallystick_node.gateway.ask import Ask
from tallystick_node.gateway.books import Books
from tallystick_node.gateway.errors import EngineUnreachable
from tallystick_node.gateway.metering import Meter, Step, next_step, reserve_again
from tallystick_node.gateway.tab import Reservation, Tab
from tallystick_node.store.records import ReceiptIssued, RequestDropped, RequestEnded

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
KEEP_ALIVE: Final = b": waiting for an acknowledgement\n\n"
_DONE_EVENT: Final = b"data: " + DONE + b"\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One that is sent in one piece."""

    status: int
    media_type: str
    content: bytes
    receipt: str | None = None
    """As it goes over the wire; None: nothing is charged."""
    retry_after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayPolicy:
    pause_s: float
    """How long a stream waits for an acknowledgement before it ends."""
    keep_alive_s: float
    unsecured_limit: Atoms


class Running:
    """A request between its admission and its end. Whoever sends its nonce again gets this one's answer."""

    def __init__(
        self, *, tab: Tab, nonce: int, request_hash: Hash32, ask: Ask, meter: Meter, reservation: Reservation
    ):
        self.tab = tab
        self.nonce = nonce
        self.request_hash = request_hash
        self.ask = ask
        self.meter = meter
        self.reservation = reservation
        self.ending: Finish | None = None
        """Why it is to end before its time."""
        self.parts: list[bytes] = []
        """What was sent of a stream."""
        self.answer: asyncio.Future[Answer | MarketError | None] = asyncio.get_running_loop().create_future()
        """Once it has ended; None: a stream, all of which is in `parts`."""
        self.reply: Reply | None = None
        self.concluded = False
        """How it ended is handed to the store, which saves in that order: nothing of it may follow."""
        self.served = False
        """Somebody serves it: whoever else asks for it follows."""
        self.promise: str | None = None
        """The quote under which it was taken, as it goes over the wire."""
        self.company = 1
        """Requests that ran when it came, itself included."""
        self._saved = 0
        self._followed: asyncio.Event | None = None

    def end(self, finish: Finish) -> None:
        """Stops it: what was delivered is billed, the engine is told."""
        if self.ending is None and not self.answer.done():
            self.ending = finish
            if self.reply is not None:
                self.reply.abort()

    def add(self, part: bytes) -> bytes:
        self.parts.append(part)
        if self._followed is not None:
            self._followed.set()
        return part

    def take_unsaved(self) -> bytes:
        """What was sent since the last call."""
        unsaved = b"".join(self.parts[self._saved :])
        self._saved = len(self.parts)
        return unsaved

    def skip_saved(self) -> None:
        self._saved = len(self.parts)

    async def follow(self) -> AsyncIterator[bytes]:
        """The stream from its first part, and on as it flows."""
        followed = self._followed = self._followed or asyncio.Event()
        self.answer.add_done_callback(lambda _: followed.set())
        position = 0
        while True:
            while position < len(self.parts):
                yield self.parts[position]
                position += 1
            if self.answer.done():
                return
            followed.clear()
            await followed.wait()


class Relay:
    def __init__(self, books: Books, upstream: Upstream, policy: RelayPolicy):
        self._books = books
        self._upstream = upstream
        self._policy = policy

    async def serve(self, running: Running, path: str, engine_model: str) -> Answer | AsyncGenerator[bytes]:
        """The engine's answer: whole, or as the blocks of a stream, which must be read to the end.

        Raises
        ------
        EngineUnreachable :
            There is none, and nothing is charged.
        """
        try:
            running.reply = reply = await self._upstream.post(path, running.ask.for_engine(engine_model))
            point("engine.answered")
            if reply.status != 200 or not running.ask.streamed:
                return await self._whole(running, reply)
            if not reply.media_type.startswith("text/event-stream"):
                raise EngineGone("The engine does not stream.")
        except EngineGone as error:
            unreachable = EngineUnreachable(str(error))
            await self._drop(running, unreachable)
            raise unreachable from error
        return self._pieces(running, reply)

    # ------------------------------------------------------------------------------------------------- whole

    async def _whole(self, running: Running, reply: Reply) -> Answer:
        try:
            content = await reply.read()
        finally:
            reply.release()
        answer = Answer(
            status=reply.status,
            media_type=reply.media_type,
            content=content,
            retry_after=reply.headers.get("Retry-After"),
        )
        return await self.billed(running, answer)

    async def billed(self, running: Running, answer: Answer) -> Answer:
        """The same with its receipt, where there is something to pay for."""
        meter = running.meter
        if answer.status == 200:
            meter.see(_parsed(answer.content))
            meter.send(answer.content, self._books.clock.milliseconds())
        if not meter.delivered:
            await self._drop(running, answer)
            return answer
        return await self._bill(running, answer)

    async def _bill(self, running: Running, answer: Answer) -> Answer:
        issued = self._issue(running, running.meter.finish or Finish.OTHER, answer.content)
        self._release(running)
        await self._books.store.save(issued, self._ended(running, answer.media_type, b""))
        point("receipt.saved.whole")
        answer = Answer(
            status=answer.status, media_type=answer.media_type, content=answer.content, receipt=issued.text
        )
        running.answer.set_result(answer)
        return answer

    # ------------------------------------------------------------------------------------------------- stream

    async def _pieces(self, running: Running, reply: Reply) -> AsyncGenerator[bytes]:
        meter, clock = running.meter, self._books.clock
        complete = input_known = False
        try:
            async for payloads in reply.payloads():
                out: list[bytes] = []
                for payload in payloads:
                    if payload == DONE:
                        complete = True
                        break
                    meter.see(_parsed(payload))
                    if not input_known and meter.input_known:
                        input_known = True
                        self._shrink(running)
                    if meter.ahead() > running.reservation.held:
                        if out:
                            yield running.add(b"".join(out))
                            out.clear()
                        async for block in self._make_room(running):
                            yield block
                    if running.ending is not None:
                        break
                    meter.send(payload, clock.milliseconds())
                    out.append(b"data: %b\n\n" % payload)
                if out:
                    yield running.add(b"".join(out))
                    point("stream.sent")
                if complete or running.ending is not None:
                    break
                if meter.interim_due(running.reservation.held):
                    yield await self._interim(running)
        except EngineGone:
            pass  # What was delivered is billed all the same.
        finally:
            if not complete:
                reply.abort()
        try:
            block = await self._finish(running, complete)
        except ChannelLost:
            reply.abort()
            raise
        yield block
        await reply.drain()

    async def _finish(self, running: Running, complete: bool) -> bytes:
        """The last receipt and the end of the stream."""
        tail = _DONE_EVENT if complete else b""
        if not running.meter.delivered:
            await self._drop(running, None)
            return tail
        finish = (
            running.ending or running.meter.finish or (Finish.OTHER if complete else Finish.ENGINE_FAILED)
        )
        issued = self._issue(running, finish, running.take_unsaved())
        self._release(running)
        await self._books.store.save(issued, self._ended(running, EVENT_STREAM, tail))
        point("receipt.saved.final")
        block = running.add(_comment(issued.text) + tail)
        running.answer.set_result(None)
        return block

    async def _interim(self, running: Running) -> bytes:
        """A receipt in mid-stream, after which as much is reserved again as there is room for."""
        issued = self._issue(running, Finish.INTERIM, running.take_unsaved())
        tab = running.tab
        reserve_again(
            self._books.account(tab),
            tab,
            running.reservation,
            running.meter,
            unsecured_limit=self._policy.unsecured_limit,
        )
        await self._books.store.save(issued)
        point("receipt.saved.interim")
        block = running.add(_comment(issued.text))
        running.skip_saved()
        return block

    async def _make_room(self, running: Running) -> AsyncIterator[bytes]:
        """Until what the engine said next fits: a receipt for what is unpaid, then a pause for its
        acknowledgement."""
        while (step := self._step(running)) is Step.RECEIPT:
            yield await self._interim(running)
        if step is Step.SEND:
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._policy.pause_s
        running.reservation.waiting = True
        try:
            with self._books.waiting(running.tab) as wake:
                while running.ending is None and self._step(running) is Step.WAIT:
                    left = deadline - loop.time()
                    if left <= 0:
                        running.ending = Finish.OUT_OF_CREDIT
                        break
                    wake.clear()
                    try:
                        async with asyncio.timeout(min(left, self._policy.keep_alive_s)):
                            await wake.wait()
                    except TimeoutError:
                        yield KEEP_ALIVE
        finally:
            running.reservation.waiting = False

    def _shrink(self, running: Running) -> None:
        """The engine has counted the input, for which the most it could be was held."""
        running.reservation.held = min(running.reservation.held, running.meter.want())
        self._books.wake(running.tab)

    def _step(self, running: Running) -> Step:
        account, tab = self._books.account(running.tab), running.tab
        return next_step(
            account, tab, running.reservation, running.meter, unsecured_limit=self._policy.unsecured_limit
        )

    # ------------------------------------------------------------------------------------------------- both

    def _issue(self, running: Running, finish: Finish, content: bytes) -> ReceiptIssued:
        """The next receipt, taken out of what is reserved; to be saved before it is sent."""
        tab = running.tab
        receipt = running.meter.receipt(tab, running.reservation, finish, self._books.clock.milliseconds())
        signed, text = self._books.issue(tab, receipt)
        point("receipt.signed")
        if running.ask.streamed:
            content += _comment(text)
        return ReceiptIssued(receipt=signed, text=text, nonce=running.nonce, content=content)

    def _ended(self, running: Running, media_type: str, content: bytes) -> RequestEnded:
        running.concluded = True
        return RequestEnded(
            channel_id=running.tab.id,
            nonce=running.nonce,
            media_type=media_type,
            content=content,
            ended_at=self._books.clock.milliseconds(),
        )

    async def abandon(self, running: Running) -> None:
        """Whoever served it was cancelled, or failed: it holds no room any more. What it was sent last is on
        no receipt; what one bills stays its nonce's answer: all of it, where its last receipt was being saved
        just then."""
        if running.answer.done():
            return
        running.end(Finish.OTHER)
        self._release(running)
        try:
            if not running.concluded and running.meter.billed:
                await self._books.store.save(self._ended(running, EVENT_STREAM, _DONE_EVENT))
            elif not running.concluded:
                await self._books.store.save(self._dropped(running))
        finally:
            if not running.answer.done():
                running.answer.set_result(EngineUnreachable("The request was broken off."))

    @property
    def patience_s(self) -> float:
        """How long a payer may take to read what it is sent."""
        return self._policy.pause_s

    async def _drop(self, running: Running, answer: Answer | MarketError | None) -> None:
        """Nothing was delivered, so nothing is charged and nothing kept."""
        self._release(running)
        await self._books.store.save(self._dropped(running))
        running.answer.set_result(answer)

    def _dropped(self, running: Running) -> RequestDropped:
        running.concluded = True
        return RequestDropped(channel_id=running.tab.id, nonce=running.nonce)

    def _release(self, running: Running) -> None:
        running.tab.running.pop(running.nonce, None)
        self._books.wake(running.tab)


def _comment(receipt: str) -> bytes:
    return RECEIPT_COMMENT + receipt.encode() + b"\n\n"


def _parsed(payload: bytes) -> dict[str, Any]:
    """What is no JSON object counts nothing."""
    try:
        chunk = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    return chunk if isinstance(chunk, dict) else {}
