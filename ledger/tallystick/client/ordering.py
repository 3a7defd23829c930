"""A sequence that is made as far as anybody reads it. It knows nothing of what it holds."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar, overload

T = TypeVar("T")


class Ordering(Sequence[T]):
    """Each is made when it is asked for, and kept."""

    def __init__(self, items: Iterable[T]):
        self._rest = iter(items)
        self._made: list[T] = []

    def _make(self, count: int | None) -> list[T]:
        """So many, or all."""
        made = self._made
        if count is None or len(made) < count:
            made.extend(self._rest if count is None else islice(self._rest, count - len(made)))
        return made

    def once(self) -> Iterator[T]:
        """Those that are not made yet, kept by nobody."""
        return self._rest

    def __bool__(self) -> bool:
        return bool(self._make(1))

    def __len__(self) -> int:
        return len(self._make(None))

    def __iter__(self) -> Iterator[T]:
        place = 0
        while len(self._make(place + 1)) > place:
            yield self._made[place]
            place += 1

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        last = index.stop if isinstance(index, slice) else index + 1
        return self._make(last if last is not None and last > 0 else None)[index]
