"""Looks up on chain whose channels are rated. What waits, and for whom, is `Raters`' decision."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Final

import structlog

from tallystick.chain.errors import ChainError
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.hearsay import Said
from tallystick.protocol.proving import channel_of, is_served
from tallystick.protocol.status import Rating
from tallystick_node.network.raters import Raters

EVERY_S: Final = 1.0
"""Between two questions to the chain."""

log = structlog.get_logger("tallystick.network")


class Confirming:
    """Runs in one event loop."""

    def __init__(
        self,
        channels: Callable[[Sequence[ChannelKey]], Sequence[Channel]],
        take: Callable[[Said], object],
        now: Callable[[], int],
    ):
        """`channels`: slow, and raises ChainError. `take`: of a rating that counts from now on."""
        self._channels = channels
        self._take = take
        self._now = now
        self._raters = Raters()
        self._some = asyncio.Event()

    def is_served(self, rating: Rating) -> bool:
        return self._raters.is_served(rating, self._now())

    def may_wait(self, rating: Rating, sender: Hashable) -> bool:
        return self._raters.may_wait(rating, sender, self._now())

    def wait(self, said: Said, rating: Rating, sender: Hashable) -> None:
        """It counts once its channel was found on chain."""
        self._raters.wait(said, rating, sender, self._now())
        self._some.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._some.wait()
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """One question, of those whose turn it is."""
        found = self._raters.next(self._now())
        if not self._raters.waiting:
            self._some.clear()
        if not found:
            return
        try:
            channels = await asyncio.to_thread(
                self._channels, [channel_of(waiting.rating) for waiting in found]
            )
        except ChainError as error:
            log.warning("ratings.unconfirmed", code=error.code)  # Whoever said them says them again.
            return
        for waiting, channel in zip(found, channels, strict=True):
            served = is_served(waiting.rating, channel)
            self._raters.learn(waiting, served, self._now())
            if self._raters.waiting:
                self._some.set()
            if served:
                self._take(waiting.said)
