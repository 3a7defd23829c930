"""One thread that does one thing after another, as they are handed to it, and looks around now and then. It
starts with the first thing, or when it is told to."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import Logger
from threading import Condition, Thread
from time import monotonic
from typing import Generic, TypeVar

import httpx2

from tallystick.protocol.errors import MarketError

T = TypeVar("T")


@contextmanager
def quietly(log: Logger, event: str, over: Callable[[], bool]) -> Iterator[None]:
    """One thing's trouble must not end the others: it is logged as `event`. `over`: it is too late for the
    purse, which is closed."""
    try:
        yield
    except (MarketError, httpx2.TransportError) as error:
        log.info("%s error=%s", event, type(error).__name__)
    except Exception:  # whatever it is
        if not over():
            log.exception(event)


class Worker(Generic[T]):
    def __init__(
        self,
        name: str,
        work: Callable[[T], None],
        *,
        most: int,
        look: Callable[[], None] = lambda: None,
        look_s: float | None = None,
    ):
        """`work` and `look` must not raise. `most`: of what may wait; what comes then is not taken. `look`:
        done each `look_s` seconds, once the thread has started; None: never."""
        self._name = name
        self._work = work
        self._most = most
        self._look = look
        self.look_s = look_s
        self._waiting: deque[T] = deque()
        self._changed = Condition()
        self._thread: Thread | None = None
        self._busy = False
        self._looked_at = monotonic()
        self.closing = False
        """Nothing more is taken, and nothing new begun."""
        self.over = False
        """There is no time left, even for what is being done."""

    def take(self, item: T) -> None:
        """Returns at once."""
        with self._changed:
            if self.closing or len(self._waiting) >= self._most:
                return
            self._waiting.append(item)
            self._start()
            self._changed.notify_all()

    @property
    def full(self) -> bool:
        """Nothing more is taken now."""
        return self.closing or len(self._waiting) >= self._most

    def start(self) -> None:
        """Looks around from now on, though nothing is there to do."""
        with self._changed:
            if not self.closing:
                self._start()

    def _start(self) -> None:
        if self._thread is None:
            thread = Thread(target=self._run, name=self._name, daemon=True)
            thread.start()  # It may raise where there are too many; the next one that comes tries again.
            self._thread = thread

    def wait(self, seconds: float) -> bool:
        """Whether nothing is left to do, within so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, seconds)

    def close(self, until: float) -> None:
        """Takes nothing more, and gives what waits until then, by the monotonic clock."""
        with self._changed:
            self.closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(max(0.0, until - monotonic()))
        self.over = True

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                woken = self._changed.wait_for(lambda: self._waiting or self.closing, self._until_look())
                if self.over or (woken and not self._waiting):
                    return
                item = self._waiting.popleft() if woken else None
                self._busy = True
            if item is not None:
                self._work(item)
            if self._until_look() == 0:
                self._look()
                self._looked_at = monotonic()

    def _until_look(self) -> float | None:
        return None if self.look_s is None else max(0.0, self._looked_at + self.look_s - monotonic())
