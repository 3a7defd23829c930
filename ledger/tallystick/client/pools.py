"""Connections to gateways: one pool for each endpoint, its TLS key checked before a byte of a request
leaves."""

import socket
import ssl
from collections.abc import Callable
from threading import Lock
from typing import Final

import httpcore2
import httpx2

from tallystick.client.flow import Endpoint
from tallystick.client.interrupting import Backend, Waits
from tallystick.pinning import pinned_context
from tallystick.protocol.units import ZERO_HASH

_LIMITS: Final = httpx2.Limits(max_connections=512, max_keepalive_connections=64, keepalive_expiry=30)

_VANISHED_S: Final = 10
"""Seconds of silence, below HTTP, after which a machine is taken to be gone."""


def _socket_options() -> list[tuple[int, int, int]]:
    """A machine that is cut off sends no end: the kernel asks after it, as far as it knows how to."""
    wanted = {"TCP_USER_TIMEOUT": 1000 * _VANISHED_S, "TCP_KEEPIDLE": 4, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
    known = [
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in wanted.items()
        if hasattr(socket, name)
    ]
    return [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        *known,
    ]


class Pools:
    """One transport for each endpoint and kind of caller. `connect` replaces the network, in tests."""

    def __init__(self, connect: Callable[[Endpoint], "TransportPair"] | None = None):
        self.waits = Waits()
        """Of blocking callers."""
        self._connect = connect or self._pair
        self._pairs: dict[Endpoint, TransportPair] = {}
        self._lock = Lock()

    def of(self, endpoint: Endpoint) -> "TransportPair":
        with self._lock:
            pair = self._pairs.get(endpoint)
            if pair is None:
                pair = self._pairs[endpoint] = self._connect(endpoint)
            return pair

    def close(self) -> None:
        for pair in self._pairs.values():
            pair.close()

    async def aclose(self) -> None:
        for pair in self._pairs.values():
            await pair.aclose()

    def _pair(self, endpoint: Endpoint) -> "TransportPair":
        pinned = endpoint.key != ZERO_HASH
        verify: ssl.SSLContext | bool = pinned_context(endpoint.key) if pinned else True
        options = _socket_options()
        return TransportPair(
            lambda: _Blocking(verify, options, Backend(self.waits)),
            lambda: httpx2.AsyncHTTPTransport(
                verify=verify, limits=_LIMITS, trust_env=False, socket_options=options
            ),
        )


class _Blocking(httpx2.HTTPTransport):
    """One that another thread can wake: httpx2 passes no network on to what it is made of."""

    def __init__(self, verify: ssl.SSLContext | bool, options: list[tuple[int, int, int]], backend: Backend):
        super().__init__(verify=verify, limits=_LIMITS, trust_env=False, socket_options=options)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=httpx2.create_ssl_context(verify=verify, trust_env=False),
            max_connections=_LIMITS.max_connections,
            max_keepalive_connections=_LIMITS.max_keepalive_connections,
            keepalive_expiry=_LIMITS.keepalive_expiry,
            socket_options=options,
            network_backend=backend,
        )


class TransportPair:
    """A blocking and an asynchronous transport to one endpoint; each is made when first used."""

    def __init__(
        self,
        blocking: Callable[[], httpx2.BaseTransport],
        asynchronous: Callable[[], httpx2.AsyncBaseTransport],
    ):
        self._make_blocking = blocking
        self._make_asynchronous = asynchronous
        self._blocking: httpx2.BaseTransport | None = None
        self._asynchronous: httpx2.AsyncBaseTransport | None = None
        self._lock = Lock()

    @property
    def blocking(self) -> httpx2.BaseTransport:
        with self._lock:
            if self._blocking is None:
                self._blocking = self._make_blocking()
            return self._blocking

    @property
    def asynchronous(self) -> httpx2.AsyncBaseTransport:
        with self._lock:
            if self._asynchronous is None:
                self._asynchronous = self._make_asynchronous()
            return self._asynchronous

    def close(self) -> None:
        if self._blocking is not None:
            self._blocking.close()

    async def aclose(self) -> None:
        if self._asynchronous is not None:
            await self._asynchronous.aclose()
