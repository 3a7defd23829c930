"""What takes too long is given up, and nothing else is."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps

import pytest

from tallystick_node.gateway.patience import Patience

LIMIT_S = 0.3


class Leaping(selectors.DefaultSelector):
    """Waits for nobody: the loop's clock leaps to whatever is due next."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits for ever"
            self.now += timeout
        return ready


class LeapingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = Leaping()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def without_waiting(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    @wraps(test)
    def run() -> None:
        with asyncio.Runner(loop_factory=LeapingLoop) as runner:
            runner.run(test())

    return run


@without_waiting
async def test_a_step_that_takes_too_long_is_given_up_and_the_task_goes_on() -> None:
    loop = asyncio.get_running_loop()
    with Patience(LIMIT_S) as patience:
        await patience.wait(asyncio.sleep(0))
        await asyncio.sleep(LIMIT_S / 3)
        begun = loop.time()
        with pytest.raises(TimeoutError):
            await patience.wait(asyncio.Event().wait())  # type: ignore[arg-type]
        assert LIMIT_S <= loop.time() - begun <= LIMIT_S * 9 / 8
        await asyncio.sleep(2 * LIMIT_S)  # Nobody's step: nothing cancels it.
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


@without_waiting
async def test_a_step_may_take_all_but_the_limit() -> None:
    with Patience(LIMIT_S) as patience:
        for _ in range(3):
            await patience.wait(asyncio.sleep(LIMIT_S - 0.001))


@without_waiting
async def test_what_is_between_the_steps_may_take_any_time() -> None:
    with Patience(LIMIT_S) as patience:
        for _ in range(2):
            await patience.wait(asyncio.sleep(0))
            await asyncio.sleep(100 * LIMIT_S)


@without_waiting
async def test_a_task_that_somebody_else_cancels_is_cancelled() -> None:
    begun = asyncio.Event()

    async def stream() -> None:
        with Patience(60) as patience:
            begun.set()
            await patience.wait(asyncio.sleep(60))

    task = asyncio.create_task(stream())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
