"""What goes on beside requests, and how it ends."""

import asyncio
import threading

import pytest

from tallystick_node.gateway.watch import repeat


async def test_a_step_under_way_ends_before_its_task_does() -> None:
    """The chain's news, once read, is applied: a thread that reads cannot be stopped, and reads only once."""
    reading, read, applied = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def read_in_a_thread() -> str:
        loop.call_soon_threadsafe(reading.set)
        assert read.wait(10)
        return "opened"

    async def step() -> None:
        applied.append(await asyncio.to_thread(read_in_a_thread))

    task = asyncio.create_task(repeat("chain.poll", 60, step))
    await reading.wait()
    task.cancel()
    await asyncio.sleep(0)
    read.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert applied == ["opened"]
