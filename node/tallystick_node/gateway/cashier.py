"""What is sent to the chain: grants to be mined, vouchers to be settled.

Each look starts from the books as the chain has them and from what became of earlier transactions, so that a
transaction that was lost, replaced or taken back is sent again, and one whose outcome is unknown is not. The
chain is asked in threads.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from tallystick.chain.errors import ChainError, TransactionUnknown
from tallystick.crash import point
from tallystick.ports import Settlement
from tallystick.protocol.channel import Status
from tallystick.protocol.units import Atoms, ChannelId, Timestamp, to_hex
from tallystick_node.gateway.books import Books
from tallystick_node.gateway.gateway import Gateway
from tallystick_node.gateway.grants import Grants
from tallystick_node.gateway.metrics import Metrics
from tallystick_node.gateway.settling import Plan, Position, SettlePolicy, Wait, due, plan
from tallystick_node.gateway.tab import Tab
from tallystick_node.store.records import Presented

_SHOWN_S: Final = 120
"""Within which a mined settlement should come back as an event. What the contract skipped, it skips again."""

log = structlog.get_logger("tallystick.cashier")


@dataclass(slots=True)
class _Presented:
    amount: Atoms
    block: int
    at: Timestamp


def _is_opening(tab: Tab) -> bool:
    """More is acknowledged than can be settled before its grant is mined."""
    return not tab.closed and tab.granted > tab.channel.cap < tab.acknowledged.amount


class Cashier:
    """Sends one transaction at a time."""

    def __init__(
        self,
        gateway: Gateway,
        grants: Grants,
        settlement: Settlement,
        policy: SettlePolicy,
        metrics: Metrics,
    ):
        self._gateway = gateway
        self._books: Books = gateway.books
        self._grants = grants
        self._settlement = settlement
        self._policy = policy
        self._metrics = metrics
        self._rewinds = 0
        self._behind = 0
        """A block that the books must have come to before anything is sent by them."""
        self._presented: dict[ChannelId, _Presented] = {}
        """Mined: until the books are as far, they do not show it."""
        self._opened: dict[ChannelId, int] = {}
        """The same of grants."""
        self._closing: dict[ChannelId, Timestamp] = {}
        """When a close was sent."""
        self._told: frozenset[tuple[ChannelId, str]] = frozenset()
        """Who waits, and why: said once."""

    async def submit_grants(self) -> None:
        """Raises ChainError."""
        await self._grants.forget_expired()
        waiting = self._grants.to_submit()
        tabs = [tab for tab in waiting if not self._is_ahead(self._opened.get(tab.id, 0))]
        if not tabs:
            return
        await self._look()
        if self._is_ahead(self._behind):
            return
        for tab in tabs:
            self._grants.submitted[tab.id] = self._books.now
        signed = [tab.grant for tab in tabs if tab.grant is not None]
        point("grants.sending")
        try:
            block = await asyncio.to_thread(self._settlement.open_channels, signed)
        except TransactionUnknown:
            raise  # Handed in again when it would have been mined: it takes the place of what is under way.
        except ChainError:
            for tab in tabs:
                self._grants.submitted.pop(tab.id, None)
            raise
        point("grants.mined")
        self._opened |= dict.fromkeys((tab.id for tab in tabs), block)
        log.info("grants.submitted", count=len(signed))

    async def is_clear(self) -> bool:
        """Whether the books show all that was ever sent: others send by them too. Raises ChainError."""
        return not await self._look() and not self._is_ahead(self._behind)

    def expect(self, block: int) -> None:
        """Something was mined, in that block at the latest."""
        self._behind = max(self._behind, block)

    async def settle(self, *, leaving: bool = False) -> None:
        """What is due and worth its gas; raises ChainError."""
        while await self._settle_some(leaving):
            pass

    async def finish(self) -> bool:
        """Settles all there is; whether nothing is left but what waits for its price. Raises ChainError."""
        await self.submit_grants()
        await self.settle(leaving=True)
        await self._look()  # What the chain took back is pushed.
        waiting = {channel_id for channel_id, _ in self._told}
        left = due(self._positions(), self._policy, now=self._books.now, leaving=True)
        opening = any(_is_opening(tab) for tab in self._books.tabs.values())
        return not opening and all(item.channel_id in waiting for item in left)

    async def _settle_some(self, leaving: bool) -> bool:
        """One transaction; whether there is more."""
        positions = list(self._positions())
        now = self._books.now
        rechecked = self._rewinds == self._gateway.rewinds
        if rechecked and not due(positions, self._policy, now=now, leaving=leaving):
            self._tell(Plan())
            return False
        in_flight = await self._look()
        gas_price = 0
        if self._policy.coin_price:
            gas_price = await asyncio.to_thread(self._settlement.gas_price)
        planned = plan(positions, self._policy, gas_price=gas_price, now=now, leaving=leaving)
        self._tell(planned)
        if not planned.rows or self._is_ahead(self._behind) or (in_flight and not planned.pressing):
            return False
        await self._present(planned)
        return Wait.NEXT in planned.waiting.values()

    async def _present(self, planned: Plan) -> None:
        tabs = [self._books.tabs[channel_id] for channel_id in planned.rows]
        rows = [(tab.channel.key, tab.voucher) for tab in tabs if tab.voucher is not None]
        presented = {tab.id: tab.acknowledged.amount for tab in tabs}
        await self._books.store.save(
            *(
                Presented(channel_id=key.id, acknowledgement=voucher.message.acknowledgement)
                for key, voucher in rows
            )
        )
        point("vouchers.sending")
        gain = await asyncio.to_thread(
            self._settlement.settle, rows, highest_gas_price=planned.highest_gas_price
        )
        point("vouchers.settled")
        for channel_id, amount in presented.items():
            self._presented[channel_id] = _Presented(amount, gain.block, self._books.now)
        for tab in tabs:
            self._books.unsettled_since.pop(tab.id, None)
            if tab.acknowledged.amount > presented[tab.id]:
                self._books.unsettled_since[tab.id] = self._books.now
        self._metrics.settled(gain.atoms)
        log.info("vouchers.settled", channels=len(rows), gained=gain.atoms)

    async def close_lost(self) -> None:
        """Channels of which we have forgotten something and whose payer has handed over its half: once that
        is settled, or not worth it, the channel is closed, so that it can go on in its next epoch; those that
        were worth most before others. Raises ChainError."""
        lost = [tab for tab in self._books.tabs.values() if self._has_to_end(tab)]
        for tab in sorted(lost, key=lambda tab: -tab.acknowledged.amount):
            if not await self.is_clear():
                return
            self._closing[tab.id] = self._books.now
            point("epoch.closing")
            settled = tab.channel.settled
            try:
                await asyncio.to_thread(self._settlement.close, tab.channel.key, self._books.sign_end(tab))
            except ChainError as error:  # One that fails again and again is in nobody's way.
                log.warning("channel.not-ended", channel=to_hex(tab.id), error=str(error))
                continue
            point("epoch.closed")
            log.info(
                "channel.ended",
                channel=to_hex(tab.id),
                total=settled,
                given_up=max(0, tab.acknowledged.amount - settled),
            )

    def _has_to_end(self, tab: Tab) -> bool:
        """It is lost, and all that is acknowledged is settled, but for what is not worth its gas."""
        if not (tab.lost and tab.refusing) or tab.closed or tab.channel.status is Status.NONE:
            return False
        is_whole = tab.channel.settled >= min(tab.acknowledged.amount, max(tab.channel.cap, tab.granted))
        if not is_whole and (tab.id, Wait.WORTHLESS) not in self._told:
            return False
        return self._books.now - self._closing.get(tab.id, Timestamp(0)) >= _SHOWN_S

    async def _look(self) -> bool:
        """At what became of what was sent; whether something may still be mined. Raises ChainError."""
        rewinds = self._gateway.rewinds
        look = await asyncio.to_thread(self._settlement.look_up, recheck=rewinds != self._rewinds)
        if rewinds != self._rewinds:
            self._rewinds = rewinds
            for presented in self._presented.values():
                presented.at = Timestamp(0)
            for channel_id in self._opened:  # Mined, and perhaps no more: another may have its nonce.
                self._grants.submitted.pop(channel_id, None)
            self._closing.clear()  # The same.
        self.expect(look.found)
        return look.in_flight

    def _is_ahead(self, block: int) -> bool:
        """Of what the books were made from."""
        return block > self._gateway.head.number

    def _positions(self) -> Iterable[Position]:
        """Of channels that the chain knows: on a grant that is not mined nothing can be settled."""
        for tab in self._books.tabs.values():
            if tab.voucher is None or tab.closed or tab.channel.cap == 0:
                continue
            yield Position(
                channel_id=tab.id,
                acknowledged=Atoms(min(tab.acknowledged.amount, tab.channel.cap)),
                settled=max(tab.channel.settled, self._presented_lately(tab)),
                since=self._books.unsettled_since.get(tab.id, self._books.now),
                closing=tab.refusing or tab.channel.closes_at != 0,
                closes_at=tab.channel.closes_at,
                lost=tab.lost and tab.refusing,
            )

    def _presented_lately(self, tab: Tab) -> Atoms:
        """Zero once the chain should have shown it: a row may be skipped, and a block taken back."""
        presented = self._presented.get(tab.id)
        if presented is None:
            return Atoms(0)
        lately = self._is_ahead(presented.block) or self._books.now - presented.at < _SHOWN_S
        return presented.amount if lately else Atoms(0)

    def _tell(self, planned: Plan) -> None:
        """What waits, and why: in the metrics, and once in the log."""
        self._metrics.waiting(
            {reason: self._unsettled(planned, reason) for reason in set(planned.waiting.values())}
        )
        waits = frozenset((channel_id, str(reason)) for channel_id, reason in planned.waiting.items())
        for channel_id, reason in sorted(waits - self._told):
            log.info("voucher.waits", channel=to_hex(channel_id), reason=reason)
        self._told = waits

    def _unsettled(self, planned: Plan, reason: str) -> int:
        tabs = (self._books.tabs[channel_id] for channel_id, why in planned.waiting.items() if why == reason)
        return sum(max(0, tab.acknowledged.amount - tab.channel.settled) for tab in tabs)
