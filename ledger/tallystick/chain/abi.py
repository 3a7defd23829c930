"""A contract's interface as its artefact tells it: names, selectors, topics, and types for eth_abi.

Values are `codec`'s: addresses are 20 bytes, structs and arrays are tuples. It knows no contract and no node.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any, TypeAlias, cast

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import Hash32

Parameter = Mapping[str, Any]
"""As the ABI's JSON has it."""


class AbiError(ValueError):
    """Bytes that are not what the ABI says."""


def type_of(parameter: Parameter) -> str:
    """As it stands in a signature, structs written out."""
    text: str = parameter["type"]
    if not text.startswith("tuple"):
        return text
    return f"({','.join(map(type_of, parameter['components']))}){text.removeprefix('tuple')}"


def named(parameter: Parameter, value: Any) -> Any:
    """The value with its structs as mappings of their fields, to be shown."""
    text: str = parameter["type"]
    if text.endswith("[]"):
        item = {**parameter, "type": text.removesuffix("[]")}
        return [named(item, part) for part in value]
    if text == "tuple":
        parts = zip(parameter["components"], value, strict=True)
        return {field["name"]: named(field, part) for field, part in parts}
    return value


def encode(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """`abi.encode`.

    Raises
    ------
    TypeError :
        A value is not exactly of its type, or out of its range.
    """
    from eth_abi.exceptions import EncodingError

    from tallystick.chain.codec import CODEC

    try:
        return CODEC.encode(types, values)
    except EncodingError as error:
        raise TypeError(str(error)) from error


def decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """`abi.decode`; raises AbiError."""
    readers = _word_readers(tuple(types))
    if readers is not None:
        return _words(readers, data)
    from eth_abi.exceptions import DecodingError

    from tallystick.chain.codec import CODEC

    try:
        return CODEC.decode(types, data)
    except (DecodingError, OverflowError) as error:  # An absurd length overflows before it is found too long.
        raise AbiError(str(error)) from error


_Reader: TypeAlias = Callable[[bytes], Any]
"""Of one word."""


def _words(readers: Sequence[_Reader], data: bytes) -> tuple[Any, ...]:
    """Most of what is read are a few single words, a million times over."""
    if len(data) < 32 * len(readers):
        raise AbiError(f"{len(data)} bytes, and {len(readers)} words are promised")
    return tuple(reader(data[32 * at : 32 * at + 32]) for at, reader in enumerate(readers))


@cache
def _word_readers(types: tuple[str, ...]) -> tuple[_Reader, ...] | None:
    """None where one of them is no single word."""
    readers = tuple(map(_word_reader, types))
    return None if None in readers else cast(tuple[_Reader, ...], readers)


@cache
def _word_reader(kind: str) -> _Reader | None:
    if kind == "bytes32":
        return bytes
    if kind == "address":
        return _address
    if found := re.fullmatch(r"uint(\d+)", kind):
        return partial(_uint, int(found[1]))
    return None


def _address(word: bytes) -> bytes:
    if any(word[:12]):
        raise AbiError(f"{word.hex()} is no address")
    return word[12:]


def _uint(bits: int, word: bytes) -> int:
    value = int.from_bytes(word, "big")
    if value >> bits:
        raise AbiError(f"{value} is no uint{bits}")
    return value


@dataclass(frozen=True, slots=True)
class Entry:
    """A function, event, error or constructor."""

    name: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[str, ...]
    """Types."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "Entry":
        outputs = tuple(map(type_of, entry.get("outputs", ())))
        return cls(entry.get("name", ""), tuple(entry.get("inputs", ())), outputs)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(parameter["name"] for parameter in self.inputs)

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(map(type_of, self.inputs))

    @property
    def topic(self) -> Hash32:
        """What names an event in a log; its first four bytes name a function or an error."""
        return keccak(f"{self.name}({','.join(self.types)})".encode())

    def named(self, values: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(self.names, values, strict=True))


class Interface:
    """What one contract can be asked, and what it says."""

    def __init__(self, entries: Sequence[Mapping[str, Any]]):
        self.entries = entries

    @cached_property
    def functions(self) -> dict[str, tuple[bytes, Entry]]:
        """(selector, entry) by name: the market overloads none."""
        return {entry.name: (entry.topic[:4], entry) for entry in self._of("function")}

    @cached_property
    def events(self) -> dict[bytes, Entry]:
        """By topic."""
        return {entry.topic: entry for entry in self._of("event")}

    @cached_property
    def errors(self) -> dict[bytes, Entry]:
        """By selector."""
        return {entry.topic[:4]: entry for entry in self._of("error")}

    @cached_property
    def constructor(self) -> Entry:
        return next(iter(self._of("constructor")), Entry("", (), ()))

    def _of(self, kind: str) -> list[Entry]:
        return [Entry.of(entry) for entry in self.entries if entry["type"] == kind]

    def call(self, name: str, values: Sequence[Any]) -> bytes:
        """Calldata; raises TypeError as `encode` does."""
        selector, entry = self.functions[name]
        return selector + encode(entry.types, values)

    def calldata(self, data: bytes) -> tuple[str, dict[str, Any]] | None:
        """The function that `data` calls and its arguments, structs as mappings of their fields; None where
        this contract has no such function. Raises AbiError."""
        for name, (selector, entry) in self.functions.items():
            if selector == data[:4]:
                values = decode(entry.types, data[4:])
                given = zip(entry.names, map(named, entry.inputs, values), strict=True)
                return name, dict(given)
        return None

    def result(self, name: str, data: bytes) -> tuple[Any, ...]:
        """What a function answered; raises AbiError."""
        return decode(self.functions[name][1].outputs, data)

    def log(self, topics: Sequence[bytes], data: bytes) -> tuple[str, dict[str, Any]] | None:
        """An event's name and values, or None where this contract declares no such event; raises AbiError."""
        found = self._logs.get(topics[0]) if topics else None
        if found is None:
            return None
        entry, indexed, plain, places = found
        values = (*decode(indexed, b"".join(topics[1:])), *decode(plain, data))
        return entry.name, {name: values[place] for name, place in places}

    @cached_property
    def _logs(
        self,
    ) -> dict[bytes, tuple[Entry, tuple[str, ...], tuple[str, ...], tuple[tuple[str, int], ...]]]:
        """By topic: the event, types of what is indexed and of what is not, and where among these in turn
        each of its values stands."""
        found = {}
        for topic, entry in self.events.items():
            indexed = [parameter for parameter in entry.inputs if parameter["indexed"]]
            plain = [parameter for parameter in entry.inputs if not parameter["indexed"]]
            order = [parameter["name"] for parameter in (*indexed, *plain)]
            places = tuple((name, order.index(name)) for name in entry.names)
            found[topic] = entry, tuple(map(type_of, indexed)), tuple(map(type_of, plain)), places
        return found
