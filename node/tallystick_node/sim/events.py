"""The simulated clock: what happens next, in order of time, and of what was planned first where times are
equal. It knows nothing of what happens."""

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import Any


class Events:
    """`now` is seconds from the start."""

    __slots__ = ("_heap", "_order", "happened", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self.happened = 0
        """Events so far."""
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0

    def at(self, when: float, act: Callable[..., None], *args: Any) -> None:
        """`act(*args)` at that time; what lies in the past happens now."""
        self._order = order = self._order + 1
        heappush(self._heap, (when, order, act, args))

    def after(self, seconds: float, act: Callable[..., None], *args: Any) -> None:
        self._order = order = self._order + 1
        heappush(self._heap, (self.now + seconds, order, act, args))

    @property
    def next_at(self) -> float:
        """Infinite where nothing is planned."""
        return self._heap[0][0] if self._heap else inf

    def run(self, until: float) -> None:
        """All that happens before that time."""
        heap = self._heap
        while heap and heap[0][0] < until:
            when, _, act, args = heappop(heap)
            if when > self.now:
                self.now = when
            self.happened += 1
            act(*args)
        self.now = max(self.now, until)
