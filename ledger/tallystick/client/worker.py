"""One thread that does one thing after another, as they are handed to it. It starts with the first."""

from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")


class Worker(Generic[T]):
    def __init__(self, name: str, work: Callable[[T], None], *, most: int):
        """`work` must not raise. `most`: of what may wait; what comes then is not taken."""
        self._name = name
        self._work = work
        self._most = most
        self._waiting: deque[T] = deque()
        self._changed = Condition()
        self._thread: Thread | None = None
        self._busy = self._closing = False
        self.over = False
        """There is no time left, even for what is being done."""

    def take(self, item: T) -> None:
        """Returns at once."""
        with self._changed:
            if self._closing or len(self._waiting) >= self._most:
                return
            self._waiting.append(item)
            if self._thread is None:
                self._thread = Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Whether nothing is left to do, within so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, seconds)

    def close(self, until: float) -> None:
        """Takes nothing more, and gives what waits until then, by the monotonic clock."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(max(0.0, until - monotonic()))
        self.over = True

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting or self.over:
                    return
                item, self._busy = self._waiting.popleft(), True
            self._work(item)
