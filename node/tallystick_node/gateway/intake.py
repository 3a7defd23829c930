"""Reads request bodies: each within a size and a time, and all that are held at once within a size."""

import asyncio
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

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
        self.policy = policy
        self.held = 0

    def body(self, request: Request, limit: int | None = None) -> "Held":
        """`async with` it has the body, counted as held until the end of the block. `limit`: bytes of this
        one, where that is less than of others. Raises BodyTooLarge, before more than the limit is held,
        BodyTooSlow, Busy or ClientDisconnect."""
        return Held(self, request, limit)


class Held:
    """One body while it is looked at. A class, because a generator of each is felt on every request."""

    __slots__ = ("_intake", "_limit", "_request", "_size")

    def __init__(self, intake: Intake, request: Request, limit: int | None):
        self._intake = intake
        self._request = request
        self._limit = intake.policy.body if limit is None else min(limit, intake.policy.body)
        self._size = 0

    async def __aenter__(self) -> bytes:
        limit = self._limit
        declared = self._request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > limit:
            raise BodyTooLarge("The body is too large.", required=limit, actual=declared[:20])
        try:
            async with asyncio.timeout(self._intake.policy.seconds):
                return await self._read()
        except TimeoutError as error:
            self._let_go()
            raise BodyTooSlow("The body did not come in time.") from error
        except BaseException:
            self._let_go()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._let_go()

    async def _read(self) -> bytes:
        receive = self._request.receive
        pieces: list[bytes] = []
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            pieces.append(message.get("body", b""))
            self._hold(len(pieces[-1]))
            more = message.get("more_body", False)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _hold(self, size: int) -> None:
        intake, policy = self._intake, self._intake.policy
        self._size += size
        intake.held += size
        if self._size > self._limit:
            raise BodyTooLarge("The body is too large.", required=self._limit, actual=self._size)
        if intake.held > policy.total:
            raise Busy("As many bytes come in as this node holds.", required=policy.total, actual=intake.held)

    def _let_go(self) -> None:
        self._intake.held -= self._size
        self._size = 0
