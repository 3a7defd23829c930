"""Where own users' requests wait for the engine: first come, first served, and not too many of them.

While one waits here, the node takes no paid work.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tallystick_node.network.errors import Crowded, UserBusy


@dataclass(frozen=True, slots=True, kw_only=True)
class LobbyLimits:
    running: int
    """Own users' requests that are at the engine at a time."""
    waiting: int
    """That wait for it."""
    waiting_s: float
    """For so long at most."""
    each: int
    """Under way of one user, wherever."""


class Lobby:
    def __init__(self, limits: LobbyLimits):
        self.limits = limits
        self.waiting = 0
        self._engine = asyncio.Semaphore(limits.running)
        self._of_user: Counter[str] = Counter()

    @asynccontextmanager
    async def entered(self, user: str) -> AsyncIterator[None]:
        """Raises UserBusy."""
        if self._of_user[user] >= self.limits.each:
            raise UserBusy(
                "As many requests of this user are under way as each may have.",
                required=self.limits.each,
                actual=self._of_user[user],
            )
        self._of_user[user] += 1
        try:
            yield
        finally:
            self._of_user[user] -= 1
            if not self._of_user[user]:
                del self._of_user[user]

    @asynccontextmanager
    async def wait(self) -> AsyncIterator[None]:
        """Counted among those that wait; raises Crowded at once where they are too many, and after a while
        where it takes too long."""
        if self.waiting >= self.limits.waiting:
            raise Crowded(
                "As many requests wait as this node lets.", required=self.limits.waiting, actual=self.waiting
            )
        self.waiting += 1
        try:
            async with asyncio.timeout(self.limits.waiting_s):
                yield
        except TimeoutError as error:
            raise Crowded(
                "The request waited too long.", required=int(self.limits.waiting_s), actual=self.waiting
            ) from error
        finally:
            self.waiting -= 1

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[None]:
        """A place at the engine: at once where there is one. Raises Crowded."""
        if self._engine.locked():
            async with self.wait():
                await self._engine.acquire()
        else:
            await self._engine.acquire()
        try:
            yield
        finally:
            self._engine.release()
