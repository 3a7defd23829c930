"""An engine's speed in real time: tokens become due when an engine of these constants would have made them.

All sequences share one loop of steps, so that each slows the others as it does in an engine. A step that
ends late, because this machine was busy, does not delay the ones after it.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import orjson

from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.speed import Speed
from tallystick_node.engine.schedule import Job, Schedule


class Pacer:
    """For one event loop."""

    def __init__(self, speed: Speed):
        self._schedule = Schedule(speed)
        self._capacity = speed.capacity
        self._due: dict[Job, asyncio.Semaphore] = {}
        self._stepping: asyncio.Task[None] | None = None

    @property
    def running(self) -> int:
        return self._schedule.running

    @property
    def waiting(self) -> int:
        return self._schedule.waiting

    @property
    def cache_used(self) -> float:
        """From 0 to 1; 0 where any number of tokens fits."""
        return self._schedule.held / self._capacity if self._capacity else 0

    async def tokens(self, prompt: int, output: int) -> AsyncGenerator[None]:
        """`output` times nothing, each when a sequence with so long a prompt would have its next token.
        Closed early, it leaves the others more of the engine."""
        job, due = Job(max(1, prompt), output), asyncio.Semaphore(0)
        self._due[job] = due
        self._schedule.add(job)
        if self._stepping is None or self._stepping.done():
            self._stepping = asyncio.create_task(self._steps())
        try:
            for _ in range(output):
                await due.acquire()
                yield
        finally:
            self._schedule.remove(job)
            del self._due[job]

    async def _steps(self) -> None:
        """While there is work."""
        loop = asyncio.get_running_loop()
        end = loop.time()
        while (step := self._schedule.plan()) is not None:
            end += step.seconds
            await asyncio.sleep(max(0, end - loop.time()))
            for job in self._schedule.done(step):
                self._due[job].release()
            await asyncio.sleep(0)  # Whoever got its last token may send the next request for this step.


def read_speed(text: str) -> Speed:
    """Of JSON as `Speed.to_json` writes it, numbers allowed, or of a file of it; raises MalformedMessage."""
    try:
        found: Any = orjson.loads(text if text.lstrip().startswith("{") else Path(text).read_bytes())
    except (OSError, ValueError) as error:
        raise MalformedMessage(f"No JSON of a speed: {error}.") from error
    if isinstance(found, Mapping):
        found = {name: str(value) if type(value) is int else value for name, value in found.items()}
    return Speed.from_json(found)
