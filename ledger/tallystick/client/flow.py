"""What a paying flow asks of the world, as values: the same flow runs under threads and under an event loop.

A flow is a generator. It yields an effect, is sent the result, and has the effect's error thrown into it. It
imports no socket and no event loop; `drivers` perform the effects.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from errno import EHOSTUNREACH, ENETDOWN, ENETUNREACH, ETIMEDOUT
from typing import Any, Final, Generic, TypeVar

import httpx2

from tallystick.protocol.units import Hash32, Milliseconds

T = TypeVar("T")
_SILENT: Final = frozenset({ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ENETDOWN})
"""What the kernel says where a machine is not heard of any more, or the way to it."""
BRIEFLY: Final = {"connect": 1.0, "read": 2.0, "write": 1.0, "pool": 1.0}
"""Seconds for what no request waits for, and any gateway could answer as well."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A gateway, and the key that it must prove to hold."""

    url: str
    """Base URL, without `/v1`."""
    key: Hash32
    """SHA-256 of its TLS public key; zero: a public certificate will do."""


class Exchange:
    """An answer whose head is here and whose body is still to be read."""

    __slots__ = ("chunks", "headers", "patience", "response", "status")

    def __init__(self, response: httpx2.Response, chunks: object, patience: float | None = None):
        self.status = response.status_code
        self.headers = response.headers
        self.response = response
        self.chunks = chunks
        """The driver's own iterator over the body."""
        self.patience = patience
        """Seconds for which a stream may say nothing new whatever else comes, and a whole body may take;
        None: any time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """POST to a gateway; the result is an `Exchange`, the error an `httpx2.TransportError`."""

    endpoint: Endpoint
    path: str
    body: bytes
    headers: Mapping[str, str]
    timeout: Mapping[str, float | None]
    head_s: float | None = None
    """Seconds for each read of the answer's head, where that is less than `timeout` says; its body has what
    that says."""


@dataclass(frozen=True, slots=True)
class Read:
    """The next piece of the body; empty at its end."""

    exchange: Exchange


@dataclass(frozen=True, slots=True)
class Drop:
    """No more of this body is wanted."""

    exchange: Exchange


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """A function that is synchronous and slow: it reads the chain."""

    function: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Returned(Generic[T]):
    """A flow came to its end."""

    value: T


@dataclass(frozen=True, slots=True)
class Failed:
    """A flow raised."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Together:
    """Several flows side by side, none of which tells the caller anything. The result is how each ended, in
    their order; None: it was still on its way when it was `enough`, and was closed where it stood.

    What a flow that returned has opened is the whole flow's from then on. A flow that is closed must not
    yield: its `finally` has no time for the world.
    """

    flows: "Sequence[Flow[Any]]"
    enough: "Callable[[Sequence[End[Any]]], bool]"
    """Asked each time that one ends."""


@dataclass(frozen=True, slots=True)
class Respond:
    """The head of the caller's answer, and its body where it is whole; else `Emit`s follow."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None = None
    extensions: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Emit:
    """The next bytes of the caller's stream."""

    data: bytes


Inward = Send | Read | Drop | Sleep | Run | Together
Outward = Respond | Emit
Flow = Generator[Inward | Outward, object, T]
End = Returned[T] | Failed | None


def send(effect: Send) -> Flow[Exchange]:
    exchange = yield effect
    assert isinstance(exchange, Exchange)
    return exchange


def read(exchange: Exchange) -> Flow[bytes]:
    data = yield Read(exchange)
    assert isinstance(data, bytes)
    return data


def read_all(exchange: Exchange, limit: int, now: Callable[[], Milliseconds]) -> Flow[bytes]:
    """The whole body, up to about `limit` bytes.

    Raises
    ------
    httpx2.ReadTimeout :
        It trickles: no single read is late, and the end does not come.
    httpx2.RemoteProtocolError :
        It is too large.
    """
    pieces: list[bytes] = []
    size, began_at = 0, now()
    while data := (yield from read(exchange)):
        pieces.append(data)
        size += len(data)
        if size > limit:
            yield Drop(exchange)
            raise httpx2.RemoteProtocolError("The answer is too large.")
        if exchange.patience is not None and now() - began_at > exchange.patience * 1000:
            yield Drop(exchange)
            raise httpx2.ReadTimeout("The answer does not come to its end.")
    return b"".join(pieces)


def was_hung_up_on(error: BaseException) -> bool:
    """Whether the other side ended the connection, and did not merely fall silent."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    return not any(
        isinstance(one, TimeoutError) or (isinstance(one, OSError) and one.errno in _SILENT) for one in causes
    )


def run(function: Callable[[], T]) -> Flow[T]:
    """What `function` returns, found without blocking an event loop."""
    box: list[T] = []
    yield Run(lambda: box.append(function()))
    return box[0]


def hurrying(flow: Flow[T], connect: float, read: float | None = None) -> Flow[T]:
    """The same, with no more than so many seconds for each new connection, and for each read."""

    def hurried(effect: Inward | Outward) -> Inward | Outward:
        if not isinstance(effect, Send):
            return effect
        timeout = dict(effect.timeout)
        for name, limit in (("connect", connect), ("read", read)):
            if limit is not None:
                allowed = timeout.get(name)
                timeout[name] = limit if allowed is None else min(limit, allowed)
        return replace(effect, timeout=timeout)

    return driven(flow, None, hurried)


def driven(
    flow: Flow[T],
    effect: Inward | Outward | None,
    changed: Callable[[Inward | Outward], Inward | Outward] = lambda effect: effect,
) -> Flow[T]:
    """The same flow from here on, each of its effects `changed`; `effect`: one that it waits for already."""
    result: object = None
    error: BaseException | None = None
    while True:
        if effect is None:
            try:
                effect = flow.send(result) if error is None else flow.throw(error)
            except StopIteration as end:
                value: T = end.value
                return value
        result, error = None, None
        try:
            result = yield changed(effect)
        except GeneratorExit:
            flow.close()
            raise
        except BaseException as raised:  # noqa: BLE001  # the flow decides
            error = raised
        effect = None
