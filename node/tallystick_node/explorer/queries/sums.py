"""Exact sums of amounts in SQL.

An amount is text, because no integer of both databases holds it. A few of its digits at a time are integers
whose sums neither overflows; put together again they are the sum.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, String, cast, func, type_coerce

from tallystick_node.explorer.columns import DIGITS

_PART: Final = 10
"""Digits: a thousand million rows of them fit 63 bits."""


def parts_of(amount: ColumnElement[Any]) -> Sequence[ColumnElement[int]]:
    """What to select, of a column or an expression of type Amount."""
    text = type_coerce(amount, String)
    starts = range(1, DIGITS + 1, _PART)
    return [func.sum(cast(func.substr(text, start, _PART), BigInteger)) for start in starts]


def together(sums: Sequence[int | None]) -> int:
    """The sum, of what was selected; zero of no rows."""
    behind = (max(0, DIGITS - (number + 1) * _PART) for number in range(len(sums)))
    return sum(int(part or 0) * 10**digits for part, digits in zip(sums, behind, strict=True))
