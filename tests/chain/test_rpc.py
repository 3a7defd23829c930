"""What a node may answer, and what becomes of it."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from tallystick.chain.errors import ChainUnavailable, RpcError
from tallystick.chain.line import Line, TooLate
from tallystick.chain.rpc import Rpc
from tests.client.tls import certificate

Answer = Callable[[object], tuple[int, bytes]]


@pytest.fixture
def node() -> Iterator[Callable[[Answer], Rpc]]:
    """`node(answer)`: a node that answers a request's JSON as `answer` says."""
    servers: list[ThreadingHTTPServer] = []
    clients: list[Rpc] = []

    def start(answer: Answer) -> Rpc:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # Else a body waits 40 ms for its headers' acknowledgement.

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, content = answer(body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        clients.append(Rpc(f"http://127.0.0.1:{server.server_port}/secret-key", timeout_s=2))
        return clients[-1]

    yield start
    for client in clients:
        client.close()
    for server in servers:
        server.shutdown()
        server.server_close()


def result(body: dict[str, object], value: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": body["id"], "result": value}


def test_a_call_has_its_result(node) -> None:
    rpc = node(lambda body: (200, json.dumps(result(body, body["params"])).encode()))
    assert rpc.call("echo", 1, "a") == [1, "a"]


def test_a_batch_is_put_in_order(node) -> None:
    rpc = node(lambda body: (200, json.dumps([result(item, item["params"]) for item in body[::-1]]).encode()))
    assert rpc.batch([("echo", (1,)), ("echo", (2,)), ("echo", (3,))]) == [[1], [2], [3]]


def test_an_empty_batch_asks_nobody() -> None:
    assert Rpc("http://127.0.0.1:1").batch([]) == []


def test_threads_share_it(node) -> None:
    rpc = node(lambda body: (200, json.dumps(result(body, body["params"][0])).encode()))
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: found.extend(rpc.call("echo", n) for _ in range(10)))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(list(range(8)) * 10)


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"3"),
        (503, b"{}"),
        (429, b'{"error": "slow down"}'),
        (502, b"bad"),
    ],
)
def test_no_sensible_answer_is_unavailable(node, status: int, content: bytes) -> None:
    with pytest.raises(ChainUnavailable) as error:
        node(lambda _: (status, content)).call("eth_chainId")
    assert error.value.retryable
    assert "secret-key" not in str(error.value)


@pytest.mark.parametrize("content", [b"[]", b'[{"id": 0}]', b"{}", b"null", b'["x"]'])
def test_a_batch_left_unanswered_is_unavailable(node, content: bytes) -> None:
    with pytest.raises(ChainUnavailable):
        node(lambda _: (200, content)).batch([("a", ()), ("b", ())])


def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(ChainUnavailable, match="Is it running"):
        Rpc("http://127.0.0.1:1").call("eth_chainId")
    with pytest.raises(ChainUnavailable):
        Rpc("nonsense").call("eth_chainId")


def test_a_refusal_has_number_and_data(node) -> None:
    refusal = {"error": {"code": 3, "message": "execution reverted", "data": "0x1234"}}
    rpc = node(lambda body: (200, json.dumps({"id": body["id"]} | refusal).encode()))
    with pytest.raises(RpcError, match="execution reverted") as error:
        rpc.call("eth_call")
    assert (error.value.number, error.value.data) == (3, b"\x12\x34")


def test_a_batch_refused_as_a_whole_is_a_refusal(node) -> None:
    rpc = node(lambda _: (200, b'{"id": null, "error": {"code": -32600, "message": "batch too large"}}'))
    with pytest.raises(RpcError, match="batch too large"):
        rpc.batch([("a", ())])


TRICKLES = {
    "headers": ("http", b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "informational answers": ("http", b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "a body": ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b" "),
    "a body without an end": ("http", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", b" "),
    "a TLS handshake": ("https", b"\x16\x03\x03\x3f\x00", b"\x00"),
}


@pytest.mark.parametrize("what", TRICKLES)
def test_a_node_that_sends_a_little_now_and_then_does_not_hold_a_thread(what: str) -> None:
    """No single read is late."""
    scheme, begin, drop = TRICKLES[what]
    limit_s = 60.0
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                until = time.monotonic() + limit_s
                connection.sendall(begin)
                try:
                    while time.monotonic() < until:
                        connection.sendall(drop)
                        time.sleep(0.05)
                except OSError:
                    pass

        thread = threading.Thread(target=trickle)
        thread.start()
        begun = time.monotonic()
        rpc = Rpc(f"{scheme}://127.0.0.1:{server.getsockname()[1]}", timeout_s=0.4)
        with pytest.raises(ChainUnavailable, match=r"no whole answer in 2 seconds|ConnectTimeout"):
            rpc.call("eth_chainId")
        assert time.monotonic() - begun < limit_s / 2
        rpc.close()
        thread.join()


def read_request(connection: socket.socket) -> None:
    read = b""
    while not read.endswith(b"{}"):
        read += connection.recv(10_000)


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_kept_connection_is_cut_as_well(tmp_path: Path, encrypted: bool) -> None:
    """The first answer comes whole; the second trickles, on the same connection."""
    limit_s = 60.0
    context, _ = certificate(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            if encrypted:
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                read_request(connection)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                read_request(connection)
                until = time.monotonic() + limit_s
                try:
                    while time.monotonic() < until:
                        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                        time.sleep(0.05)
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http{'s' if encrypted else ''}://127.0.0.1:{server.getsockname()[1]}"
        trusting = httpx2.create_ssl_context(verify=False)
        line = Line(trusting, silence_s=2, whole_s=2, trust_env=False)
        assert line.post(url, b"{}", 10) == (200, b"{}")
        begun = time.monotonic()
        with pytest.raises(TooLate):
            line.post(url, b"{}", 10)
        assert time.monotonic() - begun < limit_s / 2
        line.close()
        thread.join()
