"""What goes on beside requests: the chain is followed, grants handed in, vouchers settled, offers renewed,
old answers forgotten.

The chain is asked in threads; what it says is applied in the event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import structlog

from tallystick.chain.errors import ChainError
from tallystick.chain.events import (
    CapRaised,
    ChainEvent,
    ChannelClosed,
    ChannelOpened,
    CloseRequested,
    Deposited,
    GrantSkipped,
    OfferPosted,
    OffersWithdrawn,
    ReceiptKeySet,
    Settled,
    Skip,
)
from tallystick.chain.follower import Update
from tallystick.crash import point
from tallystick.ports import Settlement
from tallystick.protocol import channel as states
from tallystick.protocol.channel import Channel, ChannelKey, Status
from tallystick.protocol.units import Atoms, ChannelId, Milliseconds, Timestamp, to_hex
from tallystick_node.gateway.books import Books
from tallystick_node.gateway.errors import ChainStale
from tallystick_node.gateway.gateway import Gateway
from tallystick_node.gateway.grants import Grants
from tallystick_node.gateway.metrics import Metrics
from tallystick_node.gateway.settling import Position, SettlePolicy, due
from tallystick_node.gateway.tab import Tab
from tallystick_node.store.records import Born

_BACKOFF_S = 10
"""After the chain refused or lost a transaction: by then its outcome is known."""

_SHOWN_S = 120
"""Within which a mined settlement should come back as an event."""

log = structlog.get_logger("tallystick.watch")


class ChainFollower(Protocol):
    def poll(self) -> Update: ...


class ChainWatch:
    """Keeps the books at what the chain says."""

    def __init__(
        self, gateway: Gateway, grants: Grants, follower: ChainFollower, *, mines_on_demand: bool = False
    ):
        """`mines_on_demand`: a development chain, whose newest block may be old because nothing happened."""
        self._gateway = gateway
        self._books = gateway.books
        self._grants = grants
        self._follower = follower
        self._mines_on_demand = mines_on_demand
        self._skipped: dict[ChannelId, Tab] = {}
        """Whose grants the chain is said to have skipped."""

    async def poll(self) -> None:
        """Raises ChainError; nothing is lost by it."""
        update = await asyncio.to_thread(self._follower.poll)
        changed: dict[ChannelId, Tab] = {}
        if update.rewound:
            log.warning("chain.rewound", block=update.head.number)
            changed |= {tab.id: tab for tab in self._forget()}
        if self._books.past.birth is None:
            await self._note_birth(update.events)
        changed |= {tab.id: tab for event in update.events for tab in self._apply(event)}
        self._gateway.head_at = self._books.now if self._mines_on_demand else update.head.timestamp
        saves = [self._books.saved(tab) for tab in changed.values()]
        if saves:
            point("chain.applied")
            await self._books.store.save(*saves)
        await self._drop_skipped()

    async def _note_birth(self, events: Iterable[ChainEvent]) -> None:
        """The database is new. What it cannot know of is what was served before: nothing, where nobody had
        opened a channel to this provider."""
        served = self._books.store.forgetful or any(
            isinstance(event, ChannelOpened) and event.provider == self._books.provider for event in events
        )
        block = await self._grants.newest_block() if served else 0
        await self._books.store.save(Born(block=block))
        self._books.past.birth = block
        if block:
            log.warning("past.unknown", block=block)

    def _forget(self) -> list[Tab]:
        """All that the chain said; what payers signed stays. The tabs to be saved after it."""
        reopened = [tab for tab in self._books.tabs.values() if tab.closed]
        self._books.offers.clear()
        self._books.minimum_sequence = 0
        for tab in self._books.tabs.values():
            tab.channel = Channel(key=tab.channel.key)
            tab.closed = False
        return reopened

    def _apply(self, event: ChainEvent) -> Iterable[Tab]:
        """The tabs to be saved after `event`."""
        books = self._books
        match event:
            case Deposited():
                books.past.see_deposit(event.payer, event.block)
            case ChannelOpened() if event.provider == books.provider:
                tab = books.open(
                    ChannelKey(
                        payer=event.payer,
                        provider=event.provider,
                        session_key=event.session_key,
                        epoch=event.epoch,
                    )
                )
                self._change(tab, states.ChannelOpened(event.cap))
                return () if tab.kept else (tab,)
            case CapRaised(channel_id=channel_id) if known := books.tabs.get(channel_id):
                self._change(known, states.CapRaised(event.cap))
            case Settled(channel_id=channel_id) if known := books.tabs.get(channel_id):
                self._change(known, states.Settled(event.settled))
                if event.settled >= known.acknowledged.amount:
                    books.unsettled_since.pop(known.id, None)
                else:
                    books.unsettled_since[known.id] = books.now
                return self._compare(known, event.settled)
            case CloseRequested(channel_id=channel_id) if known := books.tabs.get(channel_id):
                self._change(known, states.CloseRequested(event.closes_at))
                log.info("channel.closing", channel=to_hex(channel_id), closes_at=event.closes_at)
            case ChannelClosed(channel_id=channel_id) if known := books.tabs.get(channel_id):
                return self._close(known, event)
            case GrantSkipped() if event.provider == books.provider:
                self._note_skip(event)
            case OfferPosted() if event.provider == books.provider:
                books.offers[event.offer_hash] = event.offer
            case OffersWithdrawn() if event.provider == books.provider:
                books.minimum_sequence = event.minimum_sequence
            case ReceiptKeySet() if event.provider == books.provider:
                self._gateway.key_revoked = event.receipt_key != books.receipt_key
            case _:
                pass
        return ()

    def _compare(self, tab: Tab, settled: Atoms) -> Iterable[Tab]:
        """More is settled than we hold a voucher for: we have forgotten something."""
        if tab.lost or settled <= tab.acknowledged.amount:
            return ()
        tab.lost = True
        log.warning("channel.lost", channel=to_hex(tab.id), settled=settled)
        return (tab,)

    def _change(self, tab: Tab, event: states.Event) -> None:
        tab.channel = states.apply(tab.channel, event)
        self._books.wake(tab)

    def _close(self, tab: Tab, event: ChannelClosed) -> Iterable[Tab]:
        was_closed = tab.closed
        self._books.past.see_closed(tab.channel.key, event.block)
        tab.channel = Channel(key=tab.channel.key, settled=event.settled)
        tab.closed = True
        self._books.unsettled_since.pop(tab.id, None)
        log.info("channel.closed", channel=to_hex(tab.id), settled=event.settled)
        return () if was_closed else (tab,)

    def _note_skip(self, event: GrantSkipped) -> None:
        """Anyone can have a grant skipped that nobody signed, in a transaction of his own: it is looked into
        before anything is done about it."""
        for tab in self._books.tabs.values():
            key = tab.channel.key
            if (key.payer, key.session_key) != (event.payer, event.session_key) or tab.grant is None:
                continue
            if event.reason is Skip.NOT_GREATER or tab.granted <= tab.channel.cap:
                continue
            if tab.id not in self._grants.submitted:
                continue  # An old event, read again at a start: the grant held now was not handed in yet.
            self._skipped[tab.id] = tab

    async def _drop_skipped(self) -> None:
        """A grant that will not be mined is no longer served on."""
        skipped, self._skipped = self._skipped, {}
        try:
            dropped = await self._grants.drop_impossible(skipped.values())
        except ChainStale:
            self._skipped = skipped | self._skipped
            return
        if dropped:
            await self._books.store.save(*map(self._books.saved, dropped))


class Cashier:
    """Sends transactions: grants to be mined, vouchers to be settled. One at a time."""

    def __init__(
        self, books: Books, grants: Grants, settlement: Settlement, policy: SettlePolicy, metrics: Metrics
    ):
        self._books = books
        self._grants = grants
        self._settlement = settlement
        self._policy = policy
        self._metrics = metrics
        self._presented: dict[ChannelId, tuple[Atoms, Timestamp]] = {}
        """Sent, mined, and when; the chain's own word comes with the events."""
        self._closing: dict[ChannelId, Timestamp] = {}
        """When a close was sent."""

    async def submit_grants(self) -> None:
        """Raises ChainError."""
        await self._grants.forget_expired()
        tabs = self._grants.to_submit()
        signed = [tab.grant for tab in tabs if tab.grant is not None]
        if not signed:
            return
        for tab in tabs:
            self._grants.submitted[tab.id] = self._books.now
        point("grants.sending")
        try:
            await asyncio.to_thread(self._settlement.open_channels, signed)
        except ChainError:
            for tab in tabs:  # Whether they were mined is not known, and handing them in again does no harm.
                self._grants.submitted.pop(tab.id, None)
            raise
        point("grants.mined")
        log.info("grants.submitted", count=len(signed))

    async def settle(self, *, leaving: bool = False) -> None:
        """What is due; raises ChainError."""
        channels = due(self._positions(), self._policy, now=self._books.now, leaving=leaving)
        tabs = [self._books.tabs[channel_id] for channel_id in channels]
        rows = [(tab.channel.key, tab.voucher) for tab in tabs if tab.voucher is not None]
        if not rows:
            return
        presented = {tab.id: tab.acknowledged.amount for tab in tabs}
        point("vouchers.sending")
        gained = await asyncio.to_thread(self._settlement.settle, rows)
        point("vouchers.settled")
        self._presented |= {channel_id: (amount, self._books.now) for channel_id, amount in presented.items()}
        for channel_id in presented:
            self._books.unsettled_since.pop(channel_id, None)
            if self._books.tabs[channel_id].acknowledged.amount > presented[channel_id]:
                self._books.unsettled_since[channel_id] = self._books.now
        self._metrics.settled(gained)
        log.info("vouchers.settled", channels=len(rows), gained=gained)

    async def close_lost(self) -> None:
        """Channels of which we have forgotten something and whose payer has handed over its half: once that
        is settled the channel is closed at it, so that it can go on in its next epoch. Raises ChainError."""
        for tab in list(self._books.tabs.values()):
            key, total = tab.channel.key, tab.acknowledged.amount
            if not (tab.lost and tab.refusing) or tab.closed or tab.channel.status is Status.NONE:
                continue
            if tab.channel.settled < min(total, max(tab.channel.cap, tab.granted)):
                continue
            if self._books.now - self._closing.get(tab.id, Timestamp(0)) < _SHOWN_S:
                continue
            self._closing[tab.id] = self._books.now
            point("epoch.closing")
            await asyncio.to_thread(self._settlement.close, key, self._books.sign_close(tab))
            point("epoch.closed")
            log.info("channel.ended", channel=to_hex(tab.id), total=total)

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
            )

    def _presented_lately(self, tab: Tab) -> Atoms:
        """Zero once the chain should have shown it: it may have been taken back."""
        amount, at = self._presented.get(tab.id, (Atoms(0), Timestamp(0)))
        return amount if self._books.now - at < _SHOWN_S else Atoms(0)


async def repeat(
    name: str, every_s: float, step: Callable[[], Awaitable[None]], *, backoff_s: float = _BACKOFF_S
) -> None:
    """Runs `step` for ever; what the chain refuses is logged and tried again.

    Cancelled, it ends after the step under way: a thread that reads or sends cannot be stopped, and what it
    brings back must not be lost.
    """
    while True:
        pause_s = every_s
        under_way = asyncio.ensure_future(step())
        try:
            await asyncio.shield(under_way)
        except asyncio.CancelledError:
            await asyncio.wait((under_way,))
            if not under_way.cancelled() and (error := under_way.exception()) is not None:
                log.warning(f"{name}.failed", error=repr(error))
            raise
        except ChainError as error:
            log.warning(f"{name}.failed", code=error.code, error=str(error))
            pause_s = max(every_s, backoff_s)
        await asyncio.sleep(pause_s)


def forget_answers(books: Books, kept_s: int, limit: int) -> int:
    return books.store.prune(Milliseconds(books.clock.milliseconds() - 1000 * kept_s), limit)
