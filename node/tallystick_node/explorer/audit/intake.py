"""What visitors send, within bounds: a form, or JSON."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from fastapi import Request

from tallystick.protocol.documents import Document, documents_from_json
from tallystick.protocol.errors import MalformedMessage
from tallystick_node.explorer.errors import Malformed, TooLarge

BODY: Final = 8 << 20
"""Bytes: some four thousand receipts with proofs, or eight thousand of channels' documents."""
DOCUMENTS: Final = 5_000
_FORM: Final = "application/x-www-form-urlencoded"


async def body(request: Request, most: int = BODY) -> bytes:
    """Raises TooLarge before more than that is held."""
    pieces = bytearray()
    async for piece in request.stream():
        pieces += piece
        if len(pieces) > most:
            raise TooLarge(f"At most {most:,} bytes at a time.")
    return bytes(pieces)


async def form(request: Request) -> Mapping[str, str]:
    """The fields of a form that a page sent without scripts; raises Malformed or TooLarge."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise Malformed("This page takes what its own form sends; programs use the JSON twin.")
    raw = await body(request)
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
