"""Drawing by weight, one after another and each once, without a look at all there are.

Whoever splits its weight in two is drawn first with one of them exactly as early as before. Pure: chance
comes from a seed, and the cost of a draw grows with the logarithm of how many there are.
"""

from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, Generic, TypeVar

from tallystick.protocol.eip712 import keccak

T = TypeVar("T")
_BITS: Final = 128
_BYTES: Final = _BITS // 8
_PASSED_OVER: Final = 64
"""Drawn ones that are stepped over before what is left is laid out anew, or a sixteenth of all."""


class Lots(Generic[T]):
    """Things laid out side by side, each as long as its weight."""

    def __init__(self, items: Sequence[T], weights: Sequence[int]):
        """In an order that follows from what they are, where two are to draw alike from one seed. What has no
        weight is drawn after all that has, each as likely as the other."""
        self._items = items
        self._ends = list(accumulate(weights))
        self._marks: Sequence[bytes] | None = None
        """As of `_marks`, once anything was tossed."""
        self._has_weightless = any(weight <= 0 for weight in weights)
        assert not self._has_weightless or min(weights) == 0, min(weights)

    def __len__(self) -> int:
        return len(self._items)

    def drawn(self, seed: int) -> Iterator[T]:
        """All of them, as far as anybody asks. `seed`: 64 bits."""
        numbers = (int.from_bytes(number, "big") for pair in _pairs(seed) for number in pair)
        yield from _laid_out(self._items, self._ends, numbers)
        if self._has_weightless:
            rest = [item for item, weight in zip(self._items, _widths(self._ends), strict=True) if not weight]
            yield from _laid_out(rest, list(range(1, len(rest) + 1)), numbers)

    def tossed(self, seed: int) -> Iterator[T]:
        """With replacement, without end; nothing, where there is nothing. What has no weight never comes, but
        where nothing has."""
        items, marks = self._items, self._marks
        if marks is None:
            marks = self._marks = _marks(self._ends, len(items))
        if not items:
            return
        for one, other in _pairs(seed):
            yield items[bisect_right(marks, one)]
            yield items[bisect_right(marks, other)]


def _marks(ends: Sequence[int], count: int) -> Sequence[bytes]:
    """The least number that is past each thing, but for the last that any number falls on. Of all numbers
    together each thing has its part: `number * whole >> _BITS` is where it falls on what is laid out."""
    if not ends or not ends[-1]:
        ends = range(1, count + 1)
    whole = ends[-1] if ends else 0
    return [(-(-(end << _BITS) // whole)).to_bytes(_BYTES, "big") for end in ends if end < whole]


def _laid_out(items: Sequence[T], ends: Sequence[int], numbers: Iterator[int]) -> Iterator[T]:
    left = ends[-1] if ends else 0
    taken: list[tuple[int, int]] = []
    """(start, width) of those that were drawn, by start."""
    while left > 0:
        place = next(numbers) * left >> _BITS
        for start, width in taken:
            if place < start:
                break
            place += width
        i = bisect_right(ends, place)
        start = ends[i - 1] if i else 0
        left -= ends[i] - start
        yield items[i]
        insort(taken, (start, ends[i] - start))
        if len(taken) > max(_PASSED_OVER, len(items) // 16):
            gone = {start for start, _ in taken}
            kept = [
                (item, width)
                for item, width, end in zip(items, _widths(ends), ends, strict=True)
                if width and end - width not in gone
            ]
            items, ends, taken = [item for item, _ in kept], list(accumulate(w for _, w in kept)), []


def _widths(ends: Sequence[int]) -> Iterator[int]:
    before = 0
    for end in ends:
        yield end - before
        before = end


def _pairs(seed: int) -> Iterator[tuple[bytes, bytes]]:
    """Numbers of `_BITS` bits, evenly, two of each hash. Nobody knows them who does not know the seed."""
    start, count = b"lots" + seed.to_bytes(8, "big"), 0
    while True:
        block = keccak(start + count.to_bytes(4, "big"))
        yield block[:_BYTES], block[_BYTES:]
        count += 1
