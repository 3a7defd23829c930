"""The values of a page's answer: how each is written in JSON and CSV, and read from a path.

`@shown` makes the frozen dataclass that a query answers with. Its names are camelCase in JSON, as the
contract's are; amounts are decimal strings there, hashes and addresses `0x…`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar, dataclass_transform

from pydantic import BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

from tallystick.protocol.units import address, hash32, to_hex

T = TypeVar("T")


def _parsed(parse: Callable[[str], bytes]) -> Callable[[Any], bytes]:
    return lambda value: value if isinstance(value, bytes) else parse(value)


def _hex(parse: Callable[[str], bytes], size: int) -> tuple[Any, ...]:
    schema = {"type": "string", "pattern": f"^0x[0-9a-fA-F]{{{2 * size}}}$"}
    return BeforeValidator(_parsed(parse)), PlainSerializer(to_hex, return_type=str), WithJsonSchema(schema)


_AMOUNT: Final = (
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]+$"}),
)

Address = Annotated[bytes, *_hex(address, 20)]
Hash = Annotated[bytes, *_hex(hash32, 32)]
Bytes = Annotated[bytes, PlainSerializer(to_hex, return_type=str), WithJsonSchema({"type": "string"})]
Amount = Annotated[int, *_AMOUNT]
"""Atoms, wei or another integer that may not fit a program's double."""

_CONFIG: Final = ConfigDict(alias_generator=to_camel, populate_by_name=True)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def shown(cls: type[T]) -> type[T]:
    """A frozen dataclass that a page shows."""
    cls.__pydantic_config__ = _CONFIG  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)


@shown
class Listing(Generic[T]):
    """One page of a table, newest first."""

    rows: tuple[T, ...]
    older: str | None
    """What `before` gives the next page; none on the last."""
