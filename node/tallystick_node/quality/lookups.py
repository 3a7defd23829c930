"""Threads in which the chain is asked for whoever comes: so few that a crowd holds up nobody but itself."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

_AT_A_TIME: Final = 2
_T = TypeVar("_T")


class Lookups:
    """Of one kind. What the node looks up for itself, or is paid for, waits behind none of another's."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="lookups")

    async def made(self, look: Callable[[], _T]) -> _T:
        """What it finds, in its turn."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, look)
