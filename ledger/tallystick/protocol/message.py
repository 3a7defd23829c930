"""What every signed message shares: one type string, from which its hash and its JSON both follow.

The fields of the dataclass are those of the type string, in snake case. It knows no message.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar, Self

from tallystick.protocol.eip712 import hash_struct
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.units import Hash32, to_hex


class Message:
    """A struct of the protocol, section 3. Subclasses are frozen dataclasses with a `TYPE`."""

    __slots__ = ()
    TYPE: ClassVar[str]

    def struct_hash(self) -> Hash32:
        """32 bytes: EIP-712 `hashStruct`."""
        values = _attributes(self.TYPE)(self)
        return hash_struct(self.TYPE, tuple(v.struct_hash() if isinstance(v, Message) else v for v in values))

    def to_json(self) -> dict[str, Any]:
        """Field names as in the type string; integers as decimal strings, bytes as `0x…`."""
        names = (name for _, name in fields_of(self.TYPE))
        return dict(zip(names, map(_written, _attributes(self.TYPE)(self)), strict=True))

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
            if kind[0].isupper():
                nested = cls.NESTED[kind]
                values[_snake(name)] = nested.from_json(value)
            else:
                values[_snake(name)] = read_value(kind, value, f"{cls.__name__}.{name}")
        return cls(**values)

    NESTED: ClassVar[Mapping[str, type["Message"]]] = {}


@cache
def fields_of(type_string: str) -> tuple[tuple[str, str], ...]:
    """(kind, name) of each field of the first struct in a type string."""
    inside = type_string[type_string.index("(") + 1 : type_string.index(")")]
    return tuple((kind, name) for kind, name in (item.split(" ") for item in inside.split(",")))


def read_value(kind: str, value: object, where: str) -> Any:
    """One field of JSON as the Python value of its EIP-712 kind; raises MalformedMessage."""
    match kind, value:
        case "string", str():
            return value
        case "address", str() if _ADDRESS(value):
            return bytes.fromhex(value[2:])
        case "bytes32", str() if _BYTES32(value):
            return bytes.fromhex(value[2:])
        case "bytes", str() if _BYTES(value):
            return bytes.fromhex(value[2:])
        case _, str() if kind.startswith("uint") and _DECIMAL(value):
            if (number := int(value)) < 1 << int(kind[4:]):
                return number
    raise MalformedMessage(f"{where} is not a {kind}.", required=kind)


_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}").fullmatch
_BYTES32 = re.compile(r"0x[0-9a-fA-F]{64}").fullmatch
_BYTES = re.compile(r"0x([0-9a-fA-F]{2}){0,1024}").fullmatch
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,77}").fullmatch


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
    return attrgetter(*(_snake(name) for _, name in fields_of(type_string)))


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)
