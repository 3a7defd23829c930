"""What visitors send, within bounds: a form, or JSON. What is looked at takes turns."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from fastapi import Request

from tallystick.protocol.documents import Document, documents_from_json
from tallystick.protocol.errors import MalformedMessage
from tallystick_node.explorer.errors import Malformed, TooLarge, Unavailable
from tallystick_node.explorer.guard import asking

BODY: Final = 8 << 20
"""Bytes: some four thousand receipts with proofs, or eight thousand of channels' documents."""
DOCUMENTS: Final = 5_000
_HELD: Final = 64 << 20
"""Bytes of all bodies at a time."""
_READ_S: Final = 30
_AT_A_TIME: Final = 2
"""Looked at: each may take a core for a second."""
_WAITING: Final = 8
_FORM: Final = "application/x-www-form-urlencoded"


class Intake:
    """Of one explorer."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()
        """Bytes, by who sends."""
        self._waiting: Counter[str] = Counter()
        self._turns = asyncio.Semaphore(_AT_A_TIME)

    @asynccontextmanager
    async def body(self, request: Request, most: int = BODY) -> AsyncIterator[bytes]:
        """What was sent, in its turn to be looked at; held until the end of the block.

        Raises
        ------
        TooLarge :
            Before more than `most` bytes are held.
        Malformed :
            It did not come in time.
        Unavailable :
            Too much comes in, or waits for its turn.
        """
        pieces, who = bytearray(), asking(request.scope)
        try:
            await self._read(request, who, pieces, most)
            async with self.turn(who):
                yield bytes(pieces)
        finally:
            self._held[who] -= len(pieces)
            self._held += Counter()  # Who has none is forgotten.

    async def _read(self, request: Request, who: str, pieces: bytearray, most: int) -> None:
        try:
            async with asyncio.timeout(_READ_S):
                async for piece in request.stream():
                    if len(pieces) + len(piece) > most:
                        raise TooLarge(f"At most {most:,} bytes at a time.")
                    if not _has_room(self._held, who, len(piece), _HELD):
                        raise Unavailable("Too much is sent at the moment.")
                    pieces += piece
                    self._held[who] += len(piece)
        except TimeoutError as error:
            raise Malformed(f"What is sent has to be here within {_READ_S} seconds.") from error

    @asynccontextmanager
    async def turn(self, who: str) -> AsyncIterator[None]:
        """To look at something for long; raises Unavailable where too many wait."""
        if not _has_room(self._waiting, who, 1, _WAITING):
            raise Unavailable("Others are being looked at.")
        self._waiting[who] += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting[who] -= 1
            self._waiting += Counter()
        try:
            yield
        finally:
            self._turns.release()


def _has_room(taken: Counter[str], who: str, more: int, most: int) -> bool:
    """For all together, and nobody who is known takes more than half of it."""
    return taken.total() + more <= most and (not who or taken[who] + more <= most // 2)


def form(request: Request, raw: bytes) -> Mapping[str, str]:
    """The fields of a form that a page sent without scripts; raises Malformed."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise Malformed("This page takes what its own form sends; programs use the JSON twin.")
    try:
        return dict(parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=20))
    except ValueError as error:
        raise Malformed("That is no form.") from error


def json(raw: bytes | str) -> Any:
    """Raises Malformed."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Malformed("That is no JSON.") from error


def documents(data: Any) -> list[Document]:
    """One, or a list of them; raises Malformed or TooLarge."""
    if isinstance(data, list) and len(data) > DOCUMENTS:
        raise TooLarge(f"At most {DOCUMENTS:,} documents at a time.")
    try:
        return documents_from_json(data)
    except MalformedMessage as error:
        raise Malformed(error.message) from error
