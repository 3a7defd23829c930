"""The least of an HTTP/1.1 client: it keeps connections, posts, and says when bytes came.

A load generator must cost less than what it loads. It speaks only to servers of this machine.
"""

import asyncio
import ssl
import time
from dataclasses import dataclass
from typing import Final, cast

_END: Final = b"\r\n\r\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"


class Broken(Exception):
    """The connection ended in the middle of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    head: bytes
    body: bytes
    seconds: float
    """From the first byte sent to the last received."""

    def header(self, name: bytes) -> bytes | None:
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip()
        return None


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._head: bytes | None = None
        self._body = bytearray()
        self._chunked = False
        self._missing = 0
        self._reply: asyncio.Future[tuple[bytes, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name.

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(Broken(repr(error)))

    def data_received(self, data: bytes) -> None:
        self._body += data
        if self._head is None:
            split = self._body.find(_END)
            if split < 0:
                return
            self._head = bytes(self._body[:split])
            del self._body[: split + 4]
            self._chunked = b"chunked" in self._head.lower()
            self._missing = 0 if self._chunked else _length(self._head)
        if self._chunked:
            if self._body.endswith(_LAST_CHUNK):
                self._answer(self._head, _joined(bytes(self._body)))
        elif len(self._body) >= self._missing:
            self._answer(self._head, bytes(self._body))

    def _answer(self, head: bytes, body: bytes) -> None:
        self._head = None
        self._body.clear()
        if self._reply is not None and not self._reply.done():
            self._reply.set_result((head, body))

    @property
    def open(self) -> bool:
        return self._transport is not None

    async def send(self, request: bytes) -> Reply:
        assert self._transport is not None
        self._reply = asyncio.get_running_loop().create_future()
        begun = time.perf_counter()
        self._transport.write(request)
        head, body = await self._reply
        seconds = time.perf_counter() - begun
        return Reply(status=int(head[9:12]), head=head, body=body, seconds=seconds)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Server:
    """One server, and the connections to it that are free."""

    def __init__(self, port: int, *, tls: bool = False, headers: str = ""):
        self._port = port
        self._context = _trusting() if tls else None
        self._headers = headers
        self._free: list[_Connection] = []

    async def post(self, path: str, body: bytes, *, authorization: str = "") -> Reply:
        """Raises Broken or OSError."""
        self._free = [kept for kept in self._free if kept.open]  # Servers close what idles.
        connection = self._free.pop() if self._free else await self._connect()
        paid = f"Authorization: {authorization}\r\n" if authorization else ""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nContent-Type: application/json\r\n"
            f"{self._headers}{paid}Content-Length: {len(body)}\r\n\r\n"
        )
        reply = await connection.send(head.encode("latin-1") + body)
        if connection.open:
            self._free.append(connection)
        return reply

    def close(self) -> None:
        """In the loop that they were made in."""
        for connection in self._free:
            connection.close()
        self._free.clear()

    async def _connect(self) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_connection(
            _Connection, "127.0.0.1", self._port, ssl=self._context
        )
        return connection


def _trusting() -> ssl.SSLContext:
    """Both ends are this run's own; what is measured is the cost of the encryption."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    return 0


def _joined(chunks: bytes) -> bytes:
    """The contents of a complete chunked body."""
    pieces = []
    position = 0
    while size := int(chunks[position : (end := chunks.index(b"\r\n", position))], 16):
        pieces.append(chunks[end + 2 : end + 2 + size])
        position = end + 2 + size + 2
    return b"".join(pieces)
