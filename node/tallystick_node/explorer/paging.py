"""Lists are read by key from the newest downwards: `?before=BLOCK-INDEX`, never by offset."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Query, Request
from sqlalchemy import ColumnElement, literal, tuple_

from tallystick_node.explorer.errors import Malformed
from tallystick_node.explorer.values import Listing

T = TypeVar("T")

PAGE: Final = 50
"""Rows of a page and of its JSON twin."""
CSV: Final = 5_000
"""Rows of one CSV file; `before` gives the next."""
_KEY: Final = re.compile(r"(\d{1,15})-(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Cut:
    """Which part of a list is wanted: `limit` rows that come before `before`."""

    before: tuple[int, int] | None = None
    limit: int = PAGE

    def below(self, block: Any, index: Any) -> Sequence[ColumnElement[bool]]:
        """For `where(*…)`: the rows under the key, over these two columns."""
        if self.before is None:
            return ()
        return (tuple_(block, index) < tuple_(literal(self.before[0]), literal(self.before[1])),)

    @property
    def asked(self) -> int:
        """For `limit(…)`: one row more, which says whether there is another page."""
        return self.limit + 1

    def listing(self, rows: Sequence[T], key: Callable[[T], tuple[int, int]]) -> Listing[T]:
        """What `asked` rows found."""
        kept = tuple(rows[: self.limit])
        older = "{}-{}".format(*key(kept[-1])) if len(rows) > self.limit else None
        return Listing(rows=kept, older=older)


async def _cut(
    request: Request,
    before: Annotated[str | None, Query(description="`BLOCK-INDEX`: rows before this one")] = None,
) -> Cut:
    limit = CSV if request.url.path.endswith(".csv") else PAGE
    if not before:
        return Cut(None, limit)
    if (found := _KEY.fullmatch(before)) is None:
        raise Malformed(f"before is BLOCK-INDEX, such as 120-3, not {before[:40]!r}.")
    return Cut((int(found[1]), int(found[2])), limit)


Cutting = Annotated[Cut, Depends(_cut)]
"""A page's parameter that takes `?before=`."""
