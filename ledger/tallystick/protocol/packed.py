"""Messages in as few bytes as they need: the fields of the type string one after another, each as wide as its
kind. For what is sent often, between programs that know which message comes. It checks no signature."""

from functools import cache
from typing import Any, Final, TypeVar

from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.message import Message, fields_of, name_of

M = TypeVar("M", bound=Message)
STRING_LIMIT: Final = 255
"""Bytes of one text."""


def pack(message: Message) -> bytes:
    """Raises ValueError where a text of it is too long."""
    kinds = (kind for kind, _ in fields_of(message.TYPE))
    return b"".join([_write(kind, value) for kind, value in zip(kinds, message.values(), strict=True)])


def unpack(kind: type[M], data: bytes, start: int = 0) -> tuple[M, int]:
    """The message that `pack` wrote, and where it ends; raises MalformedMessage."""
    values: dict[str, Any] = {}
    at = start
    for field, written in fields_of(kind.TYPE):
        name, nested = name_of(written), kind.NESTED.get(field)
        if nested is not None:
            values[name], at = unpack(nested, data, at)
            continue
        if field == "string":
            size, at = int.from_bytes(data[at : at + 1], "big"), at + 1
        else:
            size = _width(field)
        piece = data[at : at + size]
        if len(piece) != size or at > len(data):
            raise MalformedMessage(f"{kind.__name__} ends too early.", required=at + size, actual=len(data))
        values[name], at = _read(field, piece), at + size
    return kind(**values), at


def _write(kind: str, value: object) -> bytes:
    match value:
        case Message():
            return pack(value)
        case bytes():
            return value
        case str():
            text = value.encode()
            if len(text) > STRING_LIMIT:
                raise ValueError(f"a text of more than {STRING_LIMIT} bytes is not packed")
            return bytes((len(text),)) + text
    assert isinstance(value, int), kind
    return value.to_bytes(_width(kind), "big")


def _read(kind: str, piece: bytes) -> object:
    if kind == "string":
        try:
            return piece.decode()
        except UnicodeDecodeError as error:
            raise MalformedMessage("A text is not UTF-8.") from error
    return int.from_bytes(piece, "big") if kind.startswith("uint") else piece


@cache
def _width(kind: str) -> int:
    """Bytes of a value of that kind."""
    match kind:
        case "address":
            return 20
        case "bytes32":
            return 32
        case _:
            return int(kind.removeprefix("uint")) // 8
