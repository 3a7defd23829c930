"""The kinds of columns that the explorer's tables have."""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Dialect, Integer, LargeBinary, MetaData, String
from sqlalchemy.types import TypeDecorator

DIGITS: Final = 39
"""Of 2**128 − 1."""
_WIDE_DIGITS: Final = 78
"""Of 2**256 − 1."""


class Amount(TypeDecorator[int]):
    """Atoms or wei: a natural number below 2**128, as text of one width. A wide one is below 2**256: what
    anybody may send the market, which an asset that anybody mints has no other limit for."""

    impl = String
    cache_ok = True

    def __init__(self, *, wide: bool = False):
        self.wide = wide
        super().__init__(_WIDE_DIGITS if wide else DIGITS)

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        assert 0 <= value < 1 << (256 if self.wide else 128), value
        return f"{value:0{_WIDE_DIGITS if self.wide else DIGITS}d}"

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)


METADATA: Final = MetaData()


def hash_(name: str, *, nullable: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary(32), nullable=nullable)


def address_(name: str, *, nullable: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary(20), nullable=nullable)


def amount(name: str) -> Column[int]:
    return Column(name, Amount(), nullable=False)


def count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def when(name: str, *, nullable: bool = False) -> Column[int]:
    """Unix seconds."""
    return Column(name, BigInteger, nullable=nullable)


def place() -> Iterable[Column[int]]:
    """Where a log stands."""
    yield Column("block", BigInteger, nullable=False)
    yield Column("log_index", Integer, nullable=False)
