"""Who listens for new blocks: the indexer publishes what it has read, and open pages hear of it.

It outlives the indexer. A listener that is slow misses blocks rather than keep them: only the newest counts.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tallystick_node.explorer.errors import ListenersFull

BEHIND: Final = 20
"""Blocks that the index may lack before pages say so."""
LISTENERS: Final = 256
"""At once. Each costs a connection."""
_SHARE: Final = 4
"""Nobody has more places than all of them over so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balances:
    """Atoms of the asset with each of the contracts that hold any."""

    market: int
    duels: int = 0
    audits: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """How far the index reads, and how far it could."""

    block: int
    timestamp: int
    """Unix seconds, of that block."""
    chain_head: int
    """The node's newest block, as last heard."""
    trouble: str | None = None
    """Why the index does not go on; what it holds is so all the same."""
    balances: Balances | None = None
    """At `block`, as the asset itself says; None: not asked yet."""

    @property
    def behind(self) -> int:
        """Blocks."""
        return max(0, self.chain_head - self.block)


class Live:
    """The newest head, and those who wait for a newer one."""

    def __init__(self, listeners: int = LISTENERS):
        self.head: Head | None = None
        self._free = listeners
        self._share = max(1, listeners // _SHARE)
        self._places: Counter[str] = Counter()
        self._changed = asyncio.Condition()
        self._ended = False

    async def publish(self, head: Head) -> None:
        """After what `head` says can be read from the database."""
        async with self._changed:
            self.head = head
            self._changed.notify_all()

    async def end(self) -> None:
        """Everybody who listens is let go, so that the server can end."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    @asynccontextmanager
    async def listen(self, who: str = "") -> AsyncIterator[AsyncIterator[Head]]:
        """Heads, the present one first, each newer than the one before; raises ListenersFull."""
        if self._free <= 0 or self._places[who] >= self._share:
            raise ListenersFull("As many pages listen for new blocks as may. This one shows what it has.")
        self._free -= 1
        self._places[who] += 1
        try:
            yield self._heads()
        finally:
            self._free += 1
            self._places[who] -= 1
            self._places += Counter()  # Who has none is forgotten.

    async def _heads(self) -> AsyncIterator[Head]:
        seen: Head | None = None
        while (seen := await self._newer(seen)) is not None:
            yield seen

    async def _newer(self, seen: Head | None) -> Head | None:
        """None once it has ended."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._ended or self.head != seen)
            return None if self._ended else self.head
