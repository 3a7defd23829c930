"""The loop that keeps the index at what the chain says, and tells those who listen.

What the node does wrong ends as a sentence in the log and at the listeners, never in the tables; then it is
asked again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import ChainError
from tallystick.chain.rpc import Rpc
from tallystick_node.explorer.index.reading import MarketReader, Stretch, balances_at
from tallystick_node.explorer.index.writer import Writer
from tallystick_node.explorer.live import Head

POLL_S: Final = 0.5
"""Between looks at a chain that has nothing new."""
_PATIENCE_S: Final = 2.0
"""After something went wrong."""

log = structlog.get_logger("tallystick.index")

Publish = Callable[[Head], Awaitable[None]]


class Indexer:
    """One market's index, made from one node."""

    def __init__(
        self,
        rpc: Rpc,
        deployment: Deployment,
        writer: Writer,
        publish: Publish,
        *,
        poll_s: float = POLL_S,
    ):
        self._rpc = rpc
        self._deployment = deployment
        self._writer = writer
        self._publish = publish
        self._poll_s = poll_s
        self._reader: MarketReader | None = None
        """None: what the database holds is to be looked up first."""
        self._trouble: str | None = None
        self._head: Head | None = None
        self._compared = ""
        """Hash of the block at which the market's balance was last asked for."""

    async def run(self) -> None:
        """Until it is cancelled; raises IndexMisplaced."""
        while True:
            try:
                more = await self.step()
                pause = 0.0 if more else self._poll_s
                if not more:
                    await self._compare_balance()
                self._went_on()
            except (ChainError, SQLAlchemyError, OSError) as error:
                await self._failed(error)
                pause = max(self._poll_s, _PATIENCE_S)
            await asyncio.sleep(pause)

    async def step(self) -> bool:
        """Reads and writes one stretch; whether there is more at once. Raises ChainError where the node
        fails, and SQLAlchemyError or OSError where the database does."""
        if self._reader is None:
            self._reader = MarketReader(self._rpc, self._deployment, await self._writer.open())
        stretch = await asyncio.to_thread(self._reader.read)
        if stretch.blocks or stretch.moved:
            await self._write(self._reader, stretch)
        last = self._reader.last
        if last is not None:
            await self._tell(Head(last.number, last.timestamp, stretch.latest.number))
        return bool(stretch.blocks) and stretch.blocks[-1].number < stretch.latest.number

    async def _write(self, reader: MarketReader, stretch: Stretch) -> None:
        self._reader = None  # Unless all of it is written.
        await self._writer.write(stretch)
        reader.took(stretch)
        self._reader = reader
        if stretch.moved:
            log.warning("index.chain-moved", back_to=-1 if stretch.base is None else stretch.base.number)
        if stretch.blocks:
            log.debug("index.read", block=stretch.blocks[-1].number, of=stretch.latest.number)

    async def _compare_balance(self) -> None:
        """What the transfers add up to, and what the asset says: a node that keeps transfers to itself, or an
        asset whose balances change without any, shows here."""
        last = self._reader.last if self._reader else None
        if last is None or last.hash == self._compared:
            return
        balances = await asyncio.to_thread(balances_at, self._rpc, self._deployment, last)
        self._compared = last.hash
        if balances is None:  # The node does not say.
            return
        if balances != (held := await self._writer.held()):
            log.warning("index.balance-differs", block=last.number, asset=balances, transfers=held)
        if self._head is not None:
            await self._tell(replace(self._head, balances=balances))

    async def _tell(self, head: Head) -> None:
        if head.balances is None and self._head is not None and self._head.block == head.block:
            head = replace(head, balances=self._head.balances)
        if head != self._head:
            self._head = head
            await self._publish(head)

    def _went_on(self) -> None:
        if self._trouble is not None:
            log.info("index.goes-on", after=self._trouble)
            self._trouble = None

    async def _failed(self, error: Exception) -> None:
        text = str(error).splitlines()[0]
        if text != self._trouble:
            log.warning("index.stopped", reason=text)
            self._trouble = text
        if self._head is not None:
            await self._tell(replace(self._head, trouble=text))
