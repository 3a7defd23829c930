"""Reads request bodies: each within a size and a time, and all that are held at once within a size."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import Request

from tallystick_node.gateway.errors import BodyTooLarge, BodyTooSlow, Busy


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakePolicy:
    body: int
    """Bytes of one body."""
    total: int
    """Bytes of all that are read or looked at at a time."""
    seconds: float
    """For one body to come in."""


class Intake:
    def __init__(self, policy: IntakePolicy):
        self._policy = policy
        self._held = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Counted as held until the end of the block. Raises BodyTooLarge, before more than the limit is
        held, BodyTooSlow or Busy."""
        policy, size = self._policy, 0
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > policy.body:
            raise BodyTooLarge("The body is too large.", required=policy.body, actual=declared[:20])
        try:
            pieces = []
            try:
                async with asyncio.timeout(policy.seconds):
                    async for piece in request.stream():
                        size += len(piece)
                        self._held += len(piece)
                        if size > policy.body:
                            raise BodyTooLarge("The body is too large.", required=policy.body, actual=size)
                        if self._held > policy.total:
                            raise Busy(
                                "As many bytes come in as this node holds.",
                                required=policy.total,
                                actual=self._held,
                            )
                        pieces.append(piece)
            except TimeoutError as error:
                raise BodyTooSlow("The body did not come in time.") from error
            yield b"".join(pieces)
        finally:
            self._held -= size
