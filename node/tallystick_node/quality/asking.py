"""Whom an auditor asks: its own engine, or providers of the same model, as anybody's paid requests."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Final, Protocol

import orjson

from tallystick.protocol.units import Address, to_hex
from tallystick_node.engine.upstream import EngineGone, Upstream

Ask = Callable[[str, bytes], Awaitable[bytes]]
"""(path, body) to the reply's body, of whoever serves the model: one's own engine, or a paid provider. Raises
what keeps it from answering."""

Replies = MutableMapping[tuple[str, bytes], bytes]
"""What was answered, by path and body."""

_REFUSALS: Final = (400, 413, 422)
"""Statuses that say that the request is at fault, and not who was asked."""


class EngineRefused(EngineGone):
    """The engine is there, and does not take this request."""


class Response(Protocol):
    """As httpx2 has it."""

    @property
    def status_code(self) -> int: ...

    @property
    def content(self) -> bytes: ...


class PayingClient(Protocol):
    """An `httpx2.AsyncClient` over `tallystick.transport`."""

    async def post(self, url: str, *, content: bytes) -> Response: ...


def own_engine(upstream: Upstream) -> Ask:
    """Raises EngineGone, or EngineRefused."""

    async def ask(path: str, body: bytes) -> bytes:
        reply = await upstream.post(path, body)
        try:
            content = await reply.read()
        finally:
            reply.release()
        if reply.status != 200:
            raise _gone(reply.status, f"The engine answers an auditor with {reply.status}.")
        return content

    return ask


def remembering(ask: Ask, replies: Replies) -> Ask:
    """The same, but what was asked before is answered from `replies`. Raises as `ask` does."""

    async def asked(path: str, body: bytes) -> bytes:
        if (path, body) not in replies:
            replies[path, body] = await ask(path, body)
        return replies[path, body]

    return asked


def paid(client: PayingClient, base_url: str, *, audited: Address) -> Ask:
    """Other providers than the audited one, chosen and paid as for any request. Raises EngineGone where none
    serves."""

    async def ask(path: str, body: bytes) -> bytes:
        fields = orjson.loads(body) | {"provider": {"ignore": [to_hex(audited)]}}
        reply = await client.post(base_url + path.removeprefix("/v1"), content=orjson.dumps(fields))
        if reply.status_code != 200:
            raise _gone(reply.status_code, f"No other provider answers an auditor: {reply.status_code}.")
        return reply.content

    return ask


def _gone(status: int, why: str) -> EngineGone:
    return EngineRefused(why) if status in _REFUSALS else EngineGone(why)
