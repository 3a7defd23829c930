"""A limit on how long each of many steps may take, for one timer between them: a time-out for each took an
eighth of what a streamed token costs. It knows no payment."""

import asyncio
from collections.abc import Awaitable
from typing import Final, Self

_LOOKS: Final = 8
"""Within the limit: a step is given up at most an eighth late."""


class Patience:
    """`with Patience(seconds) as patience:` in the task whose steps are waited for."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._since: float | None = None
        """By the loop's clock: when the step under way began."""
        self._over = False

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._look()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    async def wait(self, step: Awaitable[None]) -> None:
        """Raises TimeoutError where it takes too long, and there is no patience for another."""
        self._since = self._loop.time()
        try:
            await step
        except asyncio.CancelledError:
            if not self._over or self._task.uncancel():
                raise  # By somebody else.
            raise TimeoutError from None
        finally:
            self._since = None

    def _look(self) -> None:
        """The task is cancelled only while it is within `wait`, and so only there."""
        if self._since is not None and self._loop.time() - self._since >= self._seconds:
            self._over = True
            self._task.cancel()
        else:
            self._timer = self._loop.call_later(self._seconds / _LOOKS, self._look)
