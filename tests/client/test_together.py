"""Several flows side by side, under threads and under an event loop, over real connections."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Semaphore, Thread
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest

from tallystick.client.drivers import run_asynchronous, run_blocking
from tallystick.client.flow import (
    End,
    Endpoint,
    Exchange,
    Failed,
    Flow,
    Returned,
    Send,
    Sleep,
    Together,
    read,
    read_all,
    run,
    send,
)
from tallystick.client.pools import Pools
from tallystick.protocol.units import ZERO_HASH, Milliseconds


def together(flows: Sequence[Flow[Any]]) -> Flow[Sequence[End[Any]]]:
    """How each of them ended, once all have."""
    ends = yield Together(flows, lambda ends: None not in ends)
    assert isinstance(ends, list)
    return ends


def first_of(flows: Sequence[Flow[Any]]) -> Flow[Sequence[End[Any]]]:
    """How each of them ended, once one has returned, or all have failed."""
    ends = yield Together(
        flows, lambda ends: any(isinstance(end, Returned) for end in ends) or None not in ends
    )
    assert isinstance(ends, list)
    return ends


class Server(ThreadingHTTPServer):
    """`/say/WORD` answers at once. `/begin` sends a head and a piece, `/silence` nothing; both then wait for
    their client to go. `/trickle/head` sends that a byte now and then, `/trickle/body` what
    is before a piece of its body."""

    daemon_threads = True
    request_queue_size = 256  # Else who is not let in at once is let in seconds later.

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked, self.left, self.over = Semaphore(0), Semaphore(0), Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # Else a body waits 40 ms for its headers' acknowledgement.
    server: Server

    def log_message(self, *_: object) -> None: ...

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        kind, _, word = self.path[1:].partition("/")
        if kind == "silence":
            self._wait()
            return
        if kind == "trickle":
            self._trickle(b"x-slow: " if word == "head" else b"transfer-encoding: chunked\r\n\r\n5;")
            return
        self.send_response(200)
        self.send_header("content-length", "100" if kind == "begin" else str(len(word)))
        self.end_headers()
        self.wfile.write(b"piece" if kind == "begin" else word.encode())
        if kind == "begin":
            self._wait()

    def _trickle(self, begin: bytes) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" + begin)
            while not self.server.over.wait(0.01):
                self.wfile.write(b"a")

    def _wait(self) -> None:
        self.server.asked.release()
        assert self.connection.recv(1) == b""
        self.close_connection = True
        self.server.left.release()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.over.set()
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture(params=["threads", "event loop"])
def result_of(request: pytest.FixtureRequest) -> Callable[[Flow[Any]], Any]:
    async def under_a_loop(flow: Flow[Any]) -> Any:
        pools = Pools()
        try:
            return await run_asynchronous(pools, flow)
        finally:
            await pools.aclose()

    def under_threads(flow: Flow[Any]) -> Any:
        pools = Pools()
        try:
            return run_blocking(pools, flow)
        finally:
            pools.close()

    if request.param == "threads":
        return under_threads
    return lambda flow: anyio.run(under_a_loop, flow)


def ask(server: Server, path: str, timeout: float = 60.0) -> Flow[Exchange]:
    endpoint = Endpoint(server.url, ZERO_HASH)
    return (
        yield from send(Send(endpoint=endpoint, path=path, body=b"{}", headers={}, timeout={"read": timeout}))
    )


def said(server: Server, word: str) -> Flow[bytes]:
    exchange = yield from ask(server, f"/say/{word}")
    return (yield from read_all(exchange, 100, lambda: Milliseconds(0)))


def test_all_of_them_in_their_order(server: Server, result_of: Any) -> None:
    def late(word: str) -> Flow[bytes]:
        yield Sleep(0.02)
        return (yield from said(server, word))

    ends = result_of(together([late("one"), said(server, "two"), said(server, "three")]))
    assert ends == [Returned(b"one"), Returned(b"two"), Returned(b"three")]


def test_none_at_all(result_of: Any) -> None:
    assert result_of(together([])) == []


def test_the_first_one_and_what_it_has_opened(server: Server, result_of: Any) -> None:
    """The rest is closed where it stands, and its provider sees that at once."""
    closed: list[str] = []

    def listening(path: str) -> Flow[bytes]:
        try:
            exchange = yield from ask(server, path)
            while (yield from read(exchange)):
                pass
            raise AssertionError("it never ends")
        finally:
            closed.append(path)

    def answering() -> Flow[Exchange]:
        yield from run(server.asked.acquire)  # the other one is being read
        return (yield from ask(server, "/say/hello"))

    def flow() -> Flow[bytes]:
        lost, won = yield from first_of([listening("/begin"), answering()])
        assert lost is None
        assert closed == ["/begin"]
        assert isinstance(won, Returned)
        yield from run(lambda: server.left.acquire(timeout=60) or pytest.fail("it was never hung up on"))
        return (yield from read_all(won.value, 100, lambda: Milliseconds(0)))

    assert result_of(flow()) == b"hello"


def test_nobody_waits_for_one_that_waits(server: Server, result_of: Any) -> None:
    def answering() -> Flow[bytes]:
        yield from run(server.asked.acquire)
        return (yield from said(server, "hello"))

    def silent() -> Flow[Exchange]:
        return (yield from ask(server, "/silence", timeout=20))

    assert result_of(first_of([silent(), answering()])) == [None, Returned(b"hello")]


@pytest.mark.parametrize("kept", [False, True], ids=["a new connection", "a kept one"])
def test_who_waits_for_a_head_is_hung_up_on_at_once(server: Server, result_of: Any, kept: bool) -> None:
    """Its provider would go on working for nobody."""

    def silent() -> Flow[Exchange]:
        return (yield from ask(server, "/silence"))

    def answering() -> Flow[bytes]:
        yield from run(server.asked.acquire)
        return (yield from said(server, "hello"))

    def flow() -> Flow[Any]:
        if kept:
            yield from said(server, "before")
        ends = yield from first_of([silent(), answering()])
        yield from run(lambda: server.left.acquire(timeout=60) or pytest.fail("it was never hung up on"))
        return ends, (yield from said(server, "after"))

    assert result_of(flow()) == ([None, Returned(b"hello")], b"after")


def test_one_that_fails_is_no_answer(server: Server, result_of: Any) -> None:
    def failing() -> Flow[bytes]:
        yield Sleep(0)
        raise KeyError("lost")

    ends = result_of(first_of([failing(), said(server, "hello")]))
    assert ends[1] == Returned(b"hello")
    ends = result_of(first_of([failing(), failing()]))
    assert [type(end.error) for end in ends if isinstance(end, Failed)] == [KeyError, KeyError]


def test_what_is_closed_closes_what_it_runs(server: Server, result_of: Any) -> None:
    closed: list[str] = []

    def waiting(name: str) -> Flow[None]:
        try:
            exchange = yield from ask(server, "/begin")
            while (yield from read(exchange)):
                pass
        finally:
            closed.append(name)

    def outer() -> Flow[None]:
        try:
            yield from together([waiting("a"), waiting("b")])
        finally:
            closed.append("outer")

    def answering() -> Flow[bytes]:
        for _ in range(2):
            yield from run(server.asked.acquire)
        return b"done"

    def flow() -> Flow[Any]:
        ends = yield from first_of([outer(), answering()])
        for _ in range(2):
            yield from run(lambda: server.left.acquire(timeout=60) or pytest.fail("it was never hung up on"))
        return ends

    assert result_of(flow()) == [None, Returned(b"done")]
    assert sorted(closed) == ["a", "b", "outer"]


async def test_a_caller_s_task_that_is_cancelled_closes_all(server: Server) -> None:
    closed: list[str] = []

    def waiting() -> Flow[None]:
        try:
            yield from ask(server, "/silence")
        finally:
            closed.append("")

    pools = Pools()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_asynchronous, pools, together([waiting(), waiting()]))
        for _ in range(2):
            await anyio.to_thread.run_sync(server.asked.acquire)
        tasks.cancel_scope.cancel()
    assert len(closed) == 2
    for _ in range(2):
        assert await anyio.to_thread.run_sync(lambda: server.left.acquire(timeout=60))
    await pools.aclose()


def test_many_races_leave_no_thread(server: Server) -> None:
    pools, gate = Pools(), Event()

    def slower() -> Flow[None]:
        yield from run(gate.wait)

    for _ in range(50):
        run_blocking(pools, first_of([said(server, "a"), slower(), said(server, "b")]))
    gate.set()
    for thread in threading.enumerate():
        if thread.name == "tallystick-flow":
            thread.join(5)
            assert not thread.is_alive()
    pools.close()


# ----------------------------------------------------------------------------------------- who never ends


def test_a_head_that_comes_a_byte_now_and_then_is_late(server: Server, result_of: Any) -> None:
    """No read of it is."""
    timeout = dict.fromkeys(("pool", "connect", "write", "read"), 0.1)
    endpoint = Endpoint(server.url, ZERO_HASH)
    asking = send(Send(endpoint=endpoint, path="/trickle/head", body=b"{}", headers={}, timeout=timeout))
    with pytest.raises(httpx2.TimeoutException):
        result_of(asking)


def test_a_piece_whose_beginning_comes_a_byte_now_and_then_is_late(server: Server, result_of: Any) -> None:
    def flow() -> Flow[bytes]:
        exchange = yield from ask(server, "/trickle/body", timeout=0.1)
        return (yield from read(exchange))

    with pytest.raises(httpx2.ReadTimeout):
        result_of(flow())


def test_a_flow_that_goes_on_for_ever_has_its_time() -> None:
    def flow() -> Flow[None]:
        while True:
            yield Sleep(0.001)

    pools = Pools()
    with pytest.raises(httpx2.ReadTimeout):
        run_blocking(pools, flow(), within=0.01)
    pools.close()
