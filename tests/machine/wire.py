"""What lies between payer and gateway: requests and answers in pieces, each delivered when the test says so.

A `Line` is one HTTP exchange. A `Process` is one of the SDK's flows, performed effect by effect: real
`client.flow`s, with the network, the clock and the caller's patience in the test's hands.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tallystick.client.attempts import Call
from tallystick.client.flow import Drop, Emit, Exchange, Flow, Read, Respond, Run, Send, Sleep
from tallystick.client.purse import OpenChannel
from tallystick.protocol.wire import AUTHORIZATION, Credential, read_authorization
from tests.machine.loop import HandLoop


@dataclass(eq=False)
class Line:
    """One request, and as much of its answer as was sent and is not delivered."""

    request: Send
    process: "Process | None"
    """Who waits for it; None: nobody, it is a copy."""
    credential: Credential
    arrived: bool = False
    copied: bool = False
    head: tuple[int, dict[str, str]] | None = None
    pieces: list[bytes] = field(default_factory=list)
    ended: bool = False
    """The gateway has said all."""
    broken: bool = False
    gone: asyncio.Event | None = None
    """Set: the gateway knows that nobody listens."""
    exchange: Exchange | None = None
    sent: bytes = b""
    """All of the body that left the gateway."""
    got: bytes = b""
    """All of it that the payer got."""

    unread: bytes = b""

    @property
    def readable(self) -> bool:
        """There are bytes, or the end is here."""
        return bool(self.unread) or (self.ended and not self.pieces)

    def take(self) -> bytes:
        taken, self.unread = self.unread, b""
        return taken

    @property
    def over(self) -> bool:
        told = self.process is None or self.process.done or not self.process.waits_for(self)
        return self.broken or (self.ended and self.exchange is not None and not self.pieces and told)


class Wire:
    """All lines between one payer and one gateway."""

    def __init__(
        self,
        on_request: Callable[[Line], None],
        on_left: Callable[[Line, bytes], None],
        on_got: Callable[[Line, bytes], None],
    ):
        self.lines: list[Line] = []
        """Those that something can still happen to."""
        self.seen: list[Line] = []
        """Every request that was ever sent: whoever was on the way may send it again."""
        self._on_request = on_request
        self._on_left = on_left
        self._on_got = on_got

    def send(self, request: Send, process: "Process | None") -> Line:
        line = Line(request, process, read_authorization(request.headers[AUTHORIZATION]))
        if process is not None:
            self._on_request(line)
            self.seen.append(line)
        self.lines.append(line)
        return line

    def arrive(self, line: Line, app: Any, loop: HandLoop) -> None:
        """The gateway gets the request."""
        line.arrived, line.gone = True, asyncio.Event()
        loop.create_task(self._served(line, app))
        loop.turn()

    async def _served(self, line: Line, app: Any) -> None:
        asked = False
        gone = line.gone
        assert gone is not None

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": line.request.body, "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
                line.head = message["status"], headers
                self._on_left(line, b"")
                return
            body = message.get("body", b"")
            line.sent += body
            if body:
                line.pieces.append(body)
                self._on_left(line, body)
            line.ended = not message.get("more_body", False)

        try:
            await app(_scope(line.request), receive, send)
        finally:
            line.ended = True

    def deliver(self, line: Line, cut: int | None = None) -> bool:
        """The payer gets the next piece of the answer, or only its first `cut` bytes; False: there is
        none."""
        process = line.process
        if line.broken or line.head is None:
            return False
        if line.exchange is None:
            status, headers = line.head
            line.exchange = Exchange(httpx2.Response(status, headers=headers), line)
            if status >= 400:
                self._forget_refused(line)
            if process is not None:
                process.got(line, line.exchange)
            return True
        if not line.pieces:
            if line.ended and process is not None:
                process.wake(line)
            self.forget_over()
            return line.ended
        data = line.pieces[0][:cut]
        rest = line.pieces[0][len(data) :]
        line.pieces[:1] = [rest] if rest else []
        line.got += data
        line.unread += data
        self._on_got(line, data)
        if process is not None:
            process.wake(line)
        self.forget_over()
        return True

    def _forget_refused(self, line: Line) -> None:
        """Nobody but the provider can repeat what it was sent, and one that repeats what it refused to serve
        works for nothing."""
        voucher = line.credential.voucher
        self.seen = [item for item in self.seen if item.credential.voucher != voucher]

    def forget_unsent(self, line: Line) -> None:
        """It never left, so that nobody can repeat it."""
        self.seen = [item for item in self.seen if item is not line]

    def break_(self, line: Line, error: Exception, *, noticed: bool) -> None:
        """The connection is lost, and what was under way on it."""
        line.broken = True
        if noticed:
            self.hang_up(line)
        if line.process is not None:
            line.process.failed(line, error)
        self.forget_over()

    def hang_up(self, line: Line) -> None:
        if line.gone is not None:
            line.gone.set()

    def forget_over(self) -> None:
        self.lines = [line for line in self.lines if not line.over]


class Process:
    """One flow at work. What it waits for is in `waiting`; its end is in `done` and `error`."""

    def __init__(self, wire: Wire, flow: Flow[Any], name: str, now: Callable[[], int]):
        self.wire = wire
        self.name = name
        self.flow = flow
        self.result: Any = None
        self.error: Exception | None = None
        self.done = False
        self.waiting: Send | Read | Sleep | None = None
        self.until = 0
        self.told: list[Respond | Emit] = []
        self.call: Call | None = None
        self.channel: OpenChannel | None = None
        self._now = now
        self._line: Line | None = None
        self._go(None, None)

    def _go(self, value: object, error: Exception | None) -> None:
        """Until it waits for something that only a message or time can bring."""
        self.waiting = None
        while True:
            try:
                effect = self.flow.send(value) if error is None else self.flow.throw(error)
            except StopIteration as stop:
                self.result, self.done = stop.value, True
                self._drop_all()
                return
            except Exception as raised:  # noqa: BLE001  the test looks at it
                self.error, self.done = raised, True
                self._drop_all()
                return
            value, error = None, None
            match effect:
                case Respond() | Emit():
                    self.told.append(effect)
                case Run(function):
                    try:
                        function()
                    except Exception as raised:  # noqa: BLE001  the flow decides
                        error = raised
                case Drop(exchange):
                    self._dropped(exchange)
                case Sleep(seconds):
                    self.waiting, self.until = effect, self._now() + int(seconds * 1000)
                    return
                case Send():
                    self.waiting = effect
                    self._line = self.wire.send(effect, self)
                    return
                case Read(exchange):
                    line = exchange.chunks
                    assert isinstance(line, Line)
                    if line.broken:
                        error = httpx2.ReadError("broken")
                    elif line.readable:
                        value = line.take()
                    else:
                        self.waiting, self._line = effect, line
                        return

    def got(self, line: Line, exchange: Exchange) -> None:
        assert isinstance(self.waiting, Send)
        assert self._line is line
        self._go(exchange, None)

    def wake(self, line: Line) -> None:
        """There is something to read, or the end of it."""
        if isinstance(self.waiting, Read) and self._line is line and line.readable:
            self._go(line.take(), None)

    def failed(self, line: Line, error: Exception) -> None:
        if self._line is line and isinstance(self.waiting, Send | Read):
            self._go(None, error)

    def waits_for(self, line: Line) -> bool:
        return self._line is line and isinstance(self.waiting, Send | Read)

    def wake_at(self, now: int) -> None:
        if isinstance(self.waiting, Sleep) and now >= self.until:
            self._go(None, None)

    def abandon(self) -> None:
        """The caller has had enough."""
        self.done = True
        self.flow.close()
        self._drop_all()

    def _dropped(self, exchange: Exchange) -> None:
        line = exchange.chunks
        assert isinstance(line, Line)
        line.broken = True
        self.wire.hang_up(line)

    def _drop_all(self) -> None:
        for line in self.wire.lines:
            if line.process is self and not line.over:
                line.broken = True
                self.wire.hang_up(line)
        self.wire.forget_over()


def _scope(request: Send) -> dict[str, Any]:
    headers = [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [*headers, (b"content-length", str(len(request.body)).encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
