"""A gateway asked for its offers is a stranger: it may answer anything, and without end."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx2
import pytest

from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.units import ZERO_HASH
from tallystick.wallet.probes import signed_offers

Serve = Callable[[bytes], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(body)`: the address of a server that answers everything with it."""
    servers = []

    def start(body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    return  # who asked has heard enough

            def log_message(self, *_: object) -> None: ...

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"3", b"{}", b'[{"offer": {}}]', b'{"data": [{"tallystick": 3}]}', b"[" * (1 << 21)]
)
def test_what_is_no_list_of_offers_is_said(serve: Serve, body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        signed_offers(serve(body), ZERO_HASH)


def test_nobody_there_is_said(serve: Serve) -> None:
    with pytest.raises(httpx2.HTTPError):
        signed_offers("http://127.0.0.1:1", ZERO_HASH)
