"""Connections of blocking callers that another thread may end: whoever waits for the head of an answer holds
nothing yet that could be closed."""

import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from ssl import SSLContext
from threading import Lock, get_ident
from typing import Any, Final

import httpcore2

_PIECE: Final = 1 << 16
"""Bytes that are written between two looks at the time."""


class Waits:
    """Which thread waits for which connection."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._streams: dict[int, httpcore2.NetworkStream] = {}
        self._ended: set[int] = set()
        self._until: dict[int, float] = {}
        """By thread, when it gives up on all that it waits for meanwhile; by the monotonic clock."""

    @contextmanager
    def within(self, seconds: float | None) -> Iterator[None]:
        """This thread waits no longer for all of it, however little each wait takes; None: any time."""
        me = get_ident()
        if seconds is None:
            yield
            return
        with self._lock:
            self._until[me] = time.monotonic() + seconds
        try:
            yield
        finally:
            with self._lock:
                del self._until[me]

    def left(self, timeout: float | None) -> float | None:
        """Of `timeout`, what this thread still has; zero or less: nothing."""
        with self._lock:
            until = self._until.get(get_ident())
        if until is None:
            return timeout
        left = until - time.monotonic()
        return left if timeout is None else min(timeout, left)

    @contextmanager
    def at(self, stream: httpcore2.NetworkStream) -> Iterator[None]:
        """This thread does. Raises httpcore2.ReadError once it was ended."""
        me = get_ident()
        with self._lock:
            if me in self._ended:
                raise httpcore2.ReadError("Nobody waits for it any more.")
            self._streams[me] = stream
        try:
            yield
        finally:
            with self._lock:
                del self._streams[me]

    def end(self, thread: int) -> None:
        """Whatever it waits for, now and later."""
        with self._lock:  # A connection that it has done with may be another's.
            self._ended.add(thread)
            if (stream := self._streams.get(thread)) is not None:
                hang_up(stream)

    def forget(self, thread: int) -> None:
        """It is over; another may get its number."""
        with self._lock:
            self._ended.discard(thread)


class Backend(httpcore2.NetworkBackend):
    """The network, whose waits are known."""

    def __init__(self, waits: Waits):
        self._waits = waits
        self._network = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        stream = self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream, self._waits)


class _Stream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream, waits: Waits):
        self._stream = stream
        self._waits = waits

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        timeout = self._waits.left(timeout)
        if timeout is not None and timeout <= 0:
            raise httpcore2.ReadTimeout("It trickles, and does not come to its end.")
        with self._waits.at(self._stream):
            return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            timeout = self._waits.left(timeout)
            if timeout is not None and timeout <= 0:
                raise httpcore2.WriteTimeout("The request is not taken to its end.")
            with self._waits.at(self._stream):
                self._stream.write(buffer[start : start + _PIECE], timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._waits)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def hang_up(stream: httpcore2.NetworkStream | None) -> None:
    """Wakes whoever waits for it. Closing it is theirs."""
    sock = None if stream is None else stream.get_extra_info("socket")
    if isinstance(sock, socket.socket):
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not ssl's own, which a reader would trip over
