"""What every signed message shares: one type string, from which its hash and its JSON both follow.

The fields of the dataclass are those of the type string, in snake case. It knows no message.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from operator import attrgetter
from typing import Any, ClassVar, Final, Self

from tallystick.protocol.eip712 import hash_struct
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.units import Hash32, address, hash32, to_hex


class Message:
    """A struct of the protocol, section 3. Subclasses are frozen dataclasses with a `TYPE`."""

    __slots__ = ()
    TYPE: ClassVar[str]
    NESTED: ClassVar[Mapping[str, type["Message"]]] = {}
    """The messages that the type string names as kinds."""

    def struct_hash(self) -> Hash32:
        """32 bytes: EIP-712 `hashStruct`."""
        values = self.values()
        if self.NESTED:
            values = tuple(item.struct_hash() if isinstance(item, Message) else item for item in values)
        return hash_struct(self.TYPE, values)

    def values(self) -> tuple[Any, ...]:
        """Its fields in the order of the type string, which is that of the contract's struct."""
        return _attributes(self.TYPE)(self)

    def to_json(self) -> dict[str, Any]:
        """Field names as in the type string; integers as decimal strings, bytes as `0x…`."""
        names = (name for _, name in fields_of(self.TYPE))
        return dict(zip(names, map(_written, self.values()), strict=True))

    @classmethod
    def from_json(cls, data: object) -> Self:
        """The message that `to_json` wrote; strict about names, types and ranges.

        Raises
        ------
        MalformedMessage :
            A field is missing, surplus, of another type or out of range.
        """
        expected = fields_of(cls.TYPE)
        if not isinstance(data, Mapping) or len(data) != len(expected):
            raise MalformedMessage(f"{cls.__name__} is an object of {len(expected)} fields.")
        values: dict[str, Any] = {}
        for kind, name in expected:
            if name not in data:
                raise MalformedMessage(f"{cls.__name__}.{name} is missing.")
            value = data[name]
            nested = cls.NESTED.get(kind)
            values[name_of(name)] = (
                read_value(kind, value, f"{cls.__name__}.{name}")
                if nested is None
                else nested.from_json(value)
            )
        return cls(**values)


@cache
def fields_of(type_string: str) -> tuple[tuple[str, str], ...]:
    """(kind, name) of each field of the first struct in a type string."""
    inside = type_string[type_string.index("(") + 1 : type_string.index(")")]
    return tuple((kind, name) for kind, name in (item.split(" ") for item in inside.split(",")))


def read_value(kind: str, value: object, where: str) -> Any:
    """One field of JSON as the Python value of its EIP-712 kind; raises MalformedMessage."""
    try:
        if isinstance(value, str):
            return _reader(kind)(value)
    except ValueError:
        pass
    raise MalformedMessage(f"{where} is not a {kind}.", required=kind)


@cache
def _reader(kind: str) -> Callable[[str], Any]:
    """Reads a text of that kind; raises ValueError."""
    match kind:
        case "string":
            return _read_string
        case "address":
            return address
        case "bytes32":
            return hash32
        case "bytes":
            return _read_bytes
        case _:
            return partial(_read_uint, int(kind.removeprefix("uint")))


def _read_string(text: str) -> str:
    text.encode()  # JSON can spell half a surrogate pair, which has no UTF-8 and so no hash.
    return text


_BYTES_LIMIT: Final = 1024
"""No ERC-1271 wallet in use signs longer."""


def _read_bytes(text: str) -> bytes:
    if text[:2] != "0x" or len(text) > 2 + 2 * _BYTES_LIMIT:
        raise ValueError(f"expected 0x and at most {_BYTES_LIMIT} bytes in hex")
    value = bytes.fromhex(text[2:])
    if 2 + 2 * len(value) != len(text):
        raise ValueError("bytes.fromhex skips white space; the protocol has none")
    return value


_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,77}").fullmatch


def _read_uint(bits: int, text: str) -> int:
    if not _DECIMAL(text) or (value := int(text)) >= 1 << bits:
        raise ValueError(f"expected a decimal number of {bits} bits")
    return value


def _written(value: object) -> Any:
    match value:
        case Message():
            return value.to_json()
        case bytes():
            return to_hex(value)
        case int():
            return str(int(value))
        case _:
            return value


@cache
def _attributes(type_string: str) -> Callable[[Message], tuple[object, ...]]:
    return attrgetter(*(name_of(name) for _, name in fields_of(type_string)))


@cache
def name_of(name: str) -> str:
    """In Python, of a field of a type string."""
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)
