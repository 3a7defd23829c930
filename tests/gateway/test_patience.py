"""What takes too long is given up, and nothing else is."""

import asyncio

import pytest

from tallystick_node.gateway.patience import Patience


async def test_a_step_that_takes_too_long_is_given_up_and_the_task_goes_on() -> None:
    with Patience(0.3) as patience:
        await patience.wait(asyncio.sleep(0))
        with pytest.raises(TimeoutError):
            await patience.wait(asyncio.Event().wait())  # type: ignore[arg-type]
        await asyncio.sleep(0.4)  # Nobody's step: nothing cancels it.
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_what_is_between_the_steps_may_take_any_time() -> None:
    with Patience(0.3) as patience:
        for _ in range(2):
            await patience.wait(asyncio.sleep(0))
            await asyncio.sleep(0.4)


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
