"""Lists are read by key from the newest downwards: `?before=KEY`, never by offset and without a count.

The key is what the last row of a page is ordered by: `BLOCK-INDEX` where a list follows the chain.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Query, Request
from sqlalchemy import ColumnElement, Integer, LargeBinary, literal, tuple_

from tallystick_node.explorer.columns import Amount
from tallystick_node.explorer.errors import Malformed
from tallystick_node.explorer.values import Listing

T = TypeVar("T")

PAGE: Final = 50
"""Rows of a page and of its JSON twin."""
CSV: Final = 5_000
"""Rows of one CSV file; `before` gives the next."""
_LONGEST: Final = 200
"""Characters of a key."""

Key = tuple[int | bytes, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """Which part of a list is wanted: `limit` rows that come before `before`."""

    before: str | None = None
    limit: int = PAGE

    def below(self, *columns: Any) -> Sequence[ColumnElement[bool]]:
        """For `where(*…)`: the rows under the key, over the columns by which the list is ordered.

        Raises
        ------
        Malformed :
            The key is none of these columns'.
        """
        if self.before is None:
            return ()
        parts = self.before.split("-") if len(self.before) <= _LONGEST else []
        if len(parts) != len(columns):
            raise _malformed(self.before)
        try:
            values = [literal(_value(c.type, part), c.type) for c, part in zip(columns, parts, strict=True)]
        except ValueError as error:
            raise _malformed(self.before) from error
        return (tuple_(*columns) < tuple_(*values),)

    @property
    def asked(self) -> int:
        """For `limit(…)`: one row more, which says whether there is another page."""
        return self.limit + 1

    def listing(self, rows: Sequence[T], key: Callable[[T], Key]) -> Listing[T]:
        """What `asked` rows found."""
        kept = tuple(rows[: self.limit])
        return Listing(rows=kept, older=_text(key(kept[-1])) if len(rows) > self.limit else None)


def _text(key: Key) -> str:
    return "-".join(f"0x{part.hex()}" if isinstance(part, bytes) else str(part) for part in key)


def _value(kind: object, text: str) -> int | bytes:
    """Within what a column holds: a database refuses more with an error of its own."""
    if isinstance(kind, LargeBinary):
        value = bytes.fromhex(text.removeprefix("0x"))
        if len(value) != kind.length or not text.startswith("0x"):
            raise ValueError(text)
        return value
    bits = 128 if isinstance(kind, Amount) else 31 if type(kind) is Integer else 63
    if not (text.isascii() and text.isdecimal()) or int(text) >= 1 << bits:
        raise ValueError(text)
    return int(text)


def _malformed(before: str) -> Malformed:
    return Malformed(f"before is what a page of this list ended with, such as 120-3, not {before[:40]!r}.")


async def _cut(
    request: Request,
    before: Annotated[str | None, Query(description="Rows before this one: the `older` of a page")] = None,
) -> Cut:
    return Cut(before or None, CSV if request.url.path.endswith(".csv") else PAGE)


Cutting = Annotated[Cut, Depends(_cut)]
"""A page's parameter that takes `?before=`."""
