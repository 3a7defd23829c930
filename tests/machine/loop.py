"""An event loop that goes only when it is told to, by a clock that stands still in between.

What the gateway does in threads (it asks the chain) is done in place, so that the same calls always give the
same history.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from tallystick.protocol.units import Milliseconds

START = 1_800_000_000_000
"""Milliseconds since 1970."""


class HandClock:
    """Everybody's clock."""

    def __init__(self) -> None:
        self.now = START

    def milliseconds(self) -> Milliseconds:
        return Milliseconds(self.now)

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * 1000)


class HandLoop(asyncio.SelectorEventLoop):
    """One life of a gateway."""

    def __init__(self, clock: HandClock):
        self._hand = clock
        super().__init__()

    def time(self) -> float:
        return (self._hand.now - START) / 1000

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except BaseException as error:  # noqa: BLE001  the waiter's to know
            done.set_exception(error)
        return done

    def turn(self) -> None:
        """Runs until nothing can go on before the clock does."""
        while True:
            self.call_soon(self.stop)
            self.run_forever()
            timers = [handle for handle in self._scheduled if not handle._cancelled]  # type: ignore[attr-defined]
            if not self._ready and all(handle.when() > self.time() for handle in timers):  # type: ignore[attr-defined]
                return

    def until(self, work: Any) -> Any:
        """What a coroutine returns that waits for nothing but the loop itself."""
        task = self.create_task(work)
        self.turn()
        assert task.done(), "it waits for something that only time or a message brings"
        return task.result()
