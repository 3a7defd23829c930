"""Solidity's ABI: calls, results, logs and errors as bytes, and back.

https://docs.soliditylang.org/en/latest/abi-spec.html, for the types that the market's contracts use. Strict,
as `protocol.eip712` is: nothing is coerced, addresses are 20 bytes, structs are tuples. It knows no contract
and no node. Tests hold it to eth-abi, whose import alone would take half a second of every command.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import Hash32

_WORD = 32


class AbiError(ValueError):
    """Bytes that are not what the ABI says."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One ABI type, laid out."""

    text: str
    """As it stands in a signature."""
    size: int
    """Bytes in the head."""
    dynamic: bool
    parts: tuple["Kind", ...] = ()
    """Of a struct, its fields; of an array, its one item."""
    names: tuple[str, ...] = ()
    """Of a struct's fields."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "Kind":
        """From an ABI's JSON."""
        text: str = entry["type"]
        if text.endswith("[]"):
            item = cls.of({**entry, "type": text[:-2]})
            return cls(item.text + "[]", _WORD, True, (item,))
        if text == "tuple":
            parts = tuple(map(cls.of, entry["components"]))
            names = tuple(part["name"] for part in entry["components"])
            dynamic = any(part.dynamic for part in parts)
            size = _WORD if dynamic else sum(part.size for part in parts)
            return cls(f"({','.join(part.text for part in parts)})", size, dynamic, parts, names)
        if not re.fullmatch(r"address|bool|string|bytes([1-9]|[12]\d|3[012])?|uint\d+", text):
            raise AbiError(f"{text} is not among the types of the market's contracts")
        return cls(text, _WORD, text in ("string", "bytes"))


def encode(kinds: Sequence[Kind], values: Sequence[Any]) -> bytes:
    """`abi.encode`.

    Raises
    ------
    TypeError :
        A value is not exactly of its type, or out of its range.
    """
    if len(kinds) != len(values):
        raise TypeError(f"{len(values)} values for {len(kinds)} parameters")
    head: list[bytes] = []
    tail: list[bytes] = []
    at = sum(kind.size for kind in kinds)
    for kind, value in zip(kinds, values, strict=True):
        encoded = _encoded(kind, value)
        if kind.dynamic:
            head.append(at.to_bytes(_WORD, "big"))
            tail.append(encoded)
            at += len(encoded)
        else:
            head.append(encoded)
    return b"".join(head) + b"".join(tail)


def decode(kinds: Sequence[Kind], data: bytes, start: int = 0) -> tuple[Any, ...]:
    """`abi.decode` of what begins at `start`; raises AbiError where the data is cut off."""
    values = []
    at = start
    for kind in kinds:
        values.append(_decoded(kind, data, start + _uint(data, at) if kind.dynamic else at))
        at += kind.size
    return tuple(values)


def named(kind: Kind, value: Any) -> Any:
    """The value with its structs as mappings of their fields, to be shown."""
    if kind.names:
        return dict(zip(kind.names, map(named, kind.parts, value), strict=True))
    return [named(kind.parts[0], item) for item in value] if kind.parts else value


def _encoded(kind: Kind, value: Any) -> bytes:
    match kind.text, value:
        case "address", bytes() if len(value) == 20:
            return value.rjust(_WORD, b"\0")
        case "bool", bool():
            return int(value).to_bytes(_WORD, "big")
        case "string", str():
            return _sized(value.encode())
        case "bytes", bytes():
            return _sized(value)
        case text, bytes() if text.startswith("bytes") and text == f"bytes{len(value)}":
            return value.ljust(_WORD, b"\0")
        case text, int() if text.startswith("uint") and not kind.parts and not isinstance(value, bool):
            if 0 <= value < 1 << int(text[4:]):
                return value.to_bytes(_WORD, "big")
        case text, list() | tuple() if kind.parts and text.endswith("[]"):
            return len(value).to_bytes(_WORD, "big") + encode(kind.parts * len(value), value)
        case _, tuple() if kind.parts:
            return encode(kind.parts, value)
    raise TypeError(f"{value!r} is not a {kind.text}")


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(_WORD, "big") + data + bytes(-len(data) % _WORD)


def _decoded(kind: Kind, data: bytes, at: int) -> Any:
    if kind.parts and kind.text.endswith("[]"):
        count = _uint(data, at)
        if count * kind.parts[0].size > len(data):
            raise AbiError(f"an array of {count} items in {len(data)} bytes")
        return list(decode(kind.parts * count, data, at + _WORD))
    if kind.parts:
        return decode(kind.parts, data, at)
    if kind.dynamic:
        content = _slice(data, at + _WORD, _uint(data, at))
        return content.decode(errors="replace") if kind.text == "string" else content
    if kind.text == "address":
        return _slice(data, at, _WORD)[12:]
    if kind.text.startswith("bytes"):
        return _slice(data, at, _WORD)[: int(kind.text[5:])]
    number = _uint(data, at)
    return bool(number) if kind.text == "bool" else number


def _uint(data: bytes, at: int) -> int:
    return int.from_bytes(_slice(data, at, _WORD), "big")


def _slice(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise AbiError(f"{len(data)} bytes where {at + size} are needed")
    return data[at : at + size]


@dataclass(frozen=True, slots=True)
class Entry:
    """A function, event, error or constructor."""

    name: str
    names: tuple[str, ...]
    inputs: tuple[Kind, ...]
    outputs: tuple[Kind, ...]
    indexed: tuple[bool, ...]
    """Of an event's inputs."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "Entry":
        inputs = entry.get("inputs", ())
        return cls(
            name=entry.get("name", ""),
            names=tuple(item["name"] for item in inputs),
            inputs=tuple(map(Kind.of, inputs)),
            outputs=tuple(map(Kind.of, entry.get("outputs", ()))),
            indexed=tuple(item.get("indexed", False) for item in inputs),
        )

    @property
    def topic(self) -> Hash32:
        """What names an event in a log; its first four bytes name a function or an error."""
        return keccak(f"{self.name}({','.join(kind.text for kind in self.inputs)})".encode())

    def named(self, values: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(self.names, values, strict=True))


class Interface:
    """What one contract can be asked, and what it says."""

    def __init__(self, entries: Sequence[Mapping[str, Any]]):
        self._entries = entries

    @cached_property
    def functions(self) -> dict[str, tuple[bytes, Entry]]:
        """(selector, entry) by name: the market overloads none."""
        found = (Entry.of(entry) for entry in self._entries if entry["type"] == "function")
        return {entry.name: (entry.topic[:4], entry) for entry in found}

    @cached_property
    def events(self) -> dict[bytes, Entry]:
        """By topic."""
        found = (Entry.of(entry) for entry in self._entries if entry["type"] == "event")
        return {entry.topic: entry for entry in found}

    @cached_property
    def errors(self) -> dict[bytes, Entry]:
        """By selector."""
        found = (Entry.of(entry) for entry in self._entries if entry["type"] == "error")
        return {entry.topic[:4]: entry for entry in found}

    @cached_property
    def constructor(self) -> Entry:
        found = (Entry.of(entry) for entry in self._entries if entry["type"] == "constructor")
        return next(found, Entry("", (), (), (), ()))

    def call(self, name: str, values: Sequence[Any]) -> bytes:
        """Calldata; raises TypeError as `encode` does."""
        selector, entry = self.functions[name]
        return selector + encode(entry.inputs, values)

    def result(self, name: str, data: bytes) -> tuple[Any, ...]:
        """What a function answered; raises AbiError."""
        return decode(self.functions[name][1].outputs, data)

    def log(self, topics: Sequence[bytes], data: bytes) -> tuple[str, dict[str, Any]] | None:
        """An event's name and values, or None where this contract declares no such event; raises AbiError."""
        entry = self.events.get(topics[0]) if topics else None
        if entry is None:
            return None
        plain = tuple(kind for kind, indexed in zip(entry.inputs, entry.indexed, strict=True) if not indexed)
        rest, words = iter(decode(plain, data)), iter(topics[1:])
        values = [
            _decoded(kind, next(words), 0) if indexed else next(rest)
            for kind, indexed in zip(entry.inputs, entry.indexed, strict=True)
        ]
        return entry.name, entry.named(values)
