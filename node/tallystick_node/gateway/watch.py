"""What goes on beside requests: the chain is followed, and the books kept at what it says. What is sent there
is the cashier's.

The chain is asked in threads; what it says is applied in the event loop, each change with the way back from
it, for the day on which the chain takes blocks back.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import structlog

from tallystick.chain.errors import ChainDisputed, ChainError
from tallystick.chain.events import (
    Awarded,
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
    Slashed,
    Staked,
    UnstakeRequested,
)
from tallystick.chain.follower import Update
from tallystick.crash import point
from tallystick.ports import Head
from tallystick.protocol import channel as states
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.errors import ChannelError
from tallystick.protocol.units import Atoms, ChannelId, Milliseconds, to_hex
from tallystick_node.gateway.books import Books
from tallystick_node.gateway.errors import ChainStale
from tallystick_node.gateway.gateway import Gateway
from tallystick_node.gateway.grants import Grants
from tallystick_node.gateway.tab import Tab
from tallystick_node.store.records import Born

_OFFERS = (OfferPosted, OffersWithdrawn, Staked, UnstakeRequested, Slashed, Awarded, ReceiptKeySet)
"""What changes who sells what, and by whose word."""
_BACKOFF_S = 10
"""After the chain refused or lost a transaction: by then its outcome is known."""
log = structlog.get_logger("tallystick.watch")


class ChainFollower(Protocol):
    def poll(self) -> Update: ...

    def start_over(self) -> None: ...


class Journal:
    """The way back from what the newest blocks brought."""

    def __init__(self) -> None:
        self._steps: deque[tuple[int, Callable[[], None]]] = deque()

    def note(self, block: int, undo: Callable[[], None]) -> None:
        self._steps.append((block, undo))

    def rewind(self, block: int) -> None:
        """Undoes what later blocks brought, the newest first."""
        while self._steps and self._steps[-1][0] > block:
            self._steps.pop()[1]()

    def forget(self, block: int) -> None:
        """Nobody goes back behind this block any more."""
        while self._steps and self._steps[0][0] <= block:
            self._steps.popleft()


class ChainWatch:
    """Keeps the books at what the chain says."""

    def __init__(
        self, gateway: Gateway, grants: Grants, follower: ChainFollower, *, mines_on_demand: bool = False
    ):
        """`mines_on_demand`: a development chain, whose newest block may be old because nothing happened, and
        may be the last. It is run by one node, which does not lag behind itself."""
        self._gateway = gateway
        self._books = gateway.books
        self._grants = grants
        self._follower = follower
        self._mines_on_demand = mines_on_demand
        self._skipped: dict[ChannelId, Tab] = {}
        """Whose grants the chain is said to have skipped."""
        self._journal = Journal()
        self._began = self._books.now
        """A database that is new was not there before."""
        self._birth: int | None = None
        """The first block that was seen to be later, by this process."""
        self.on_offers: Callable[[], None] = lambda: None
        """Told when the chain says something new of who sells what."""

    async def poll(self) -> None:
        """Raises ChainError; nothing is lost by it."""
        try:
            update = await asyncio.to_thread(self._follower.poll)
            changed = self._take(update)
        except ChainDisputed:
            self._gateway.chain_disputed = True
            raise
        self._gateway.chain_disputed = False
        self._gateway.head = update.head
        self._books.past.reached = update.head.number
        self._gateway.head_at = self._books.now if self._mines_on_demand else update.head.timestamp
        saves = [self._books.saved(tab) for tab in changed.values()]
        if saves:
            point("chain.applied")
            await self._books.store.save(*saves)
        await self._drop_skipped()
        if self._books.past.birth is None:
            await self._note_birth(update.head)

    async def _note_birth(self, acted_on: Head) -> None:
        """The database is new. What it cannot know of is what was served before, up to a block that was made
        after it. The first such block that is acted on will do, since its own time says when it was made;
        what a node tells of newer ones is not asked for, as any height can be told. Nothing is to be known
        where nothing can have been served by then."""
        books = self._books
        if self._birth is None:
            if not self._mines_on_demand and not self._is_later(acted_on):
                return
            self._birth = acted_on.number
        if acted_on.number < self._birth:
            return
        whole = books.past.is_empty(self._birth) and not books.store.forgetful
        birth = 0 if whole else acted_on.number
        await books.store.save(Born(block=birth))
        books.past.birth = birth
        if birth:
            log.warning("past.unknown", block=birth)

    def _is_later(self, head: Head) -> bool:
        """A block made after this database, and made now: a machine that was just put together may have begun
        by a clock that was hours off, beside a node that is still catching up."""
        now, limits = self._books.now, self._gateway.limits
        fresh = now - limits.head_age_s <= head.timestamp <= now + limits.clocks_apart_s
        return fresh and head.timestamp >= self._began + limits.clocks_apart_s

    def _take(self, update: Update) -> dict[ChannelId, Tab]:
        """The tabs to be saved after it; raises ChainDisputed."""
        changed: dict[ChannelId, Tab] = {}
        if update.rewound_to is not None:
            changed |= self._rewind(update.rewound_to)
        try:
            changed |= {tab.id: tab for event in update.events for tab in self._apply(event)}
        except ChannelError as error:
            self._forget()
            self._follower.start_over()
            raise ChainDisputed(f"The chain's node tells of what no true chain holds: {error}") from error
        self._journal.forget(update.final)
        if update.rewound_to is not None or any(isinstance(event, _OFFERS) for event in update.events):
            self.on_offers()
        return changed

    def _rewind(self, block: int) -> dict[ChannelId, Tab]:
        """To what the chain said up to that block; what payers signed stays. The tabs to be saved after
        it."""
        closed = {tab.id for tab in self._books.tabs.values() if tab.closed}
        log.warning("chain.rewound", block=block)
        self._date_again(block)
        self._gateway.rewinds += 1
        if block < 0:
            self._forget()
        else:
            self._journal.rewind(block)
        tabs = self._books.tabs
        for tab in tabs.values():
            if tab.acknowledged.amount > tab.channel.settled and not tab.closed:
                self._books.unsettled_since.setdefault(tab.id, self._books.now)
            self._books.wake(tab)
        return {channel_id: tab for channel_id, tab in tabs.items() if (channel_id in closed) != tab.closed}

    def _date_again(self, block: int) -> None:
        """Where the database was dated by a block that the chain took back: what was in earlier ones may be
        in later ones now. Where there was nothing before it, there may be now."""
        past = self._books.past
        if block < max(self._birth or 0, past.birth or 0):
            if past.birth != 0:
                self._birth = None
            past.birth = None

    def _forget(self) -> None:
        """All that the chain said."""
        self._journal = Journal()
        self._books.offers.clear()
        self._books.minimum_sequence = 0
        self._gateway.key_revoked = False
        self._gateway.staked = self._gateway.slashed = Atoms(0)
        for tab in self._books.tabs.values():
            tab.channel = Channel(key=tab.channel.key)
            tab.closed = False

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
                books.past.see_opened(event.block)
                self._change(tab, event, states.ChannelOpened(event.cap))
                tab.closed = False  # A close that was read before a restart may have been taken back since.
                return () if tab.kept else (tab,)
            case CapRaised(channel_id=channel_id) if known := books.tabs.get(channel_id):
                self._change(known, event, states.CapRaised(event.cap))
            case Settled(channel_id=channel_id) if known := books.tabs.get(channel_id):
                self._change(known, event, states.Settled(event.settled))
                if event.settled >= known.acknowledged.amount:
                    books.unsettled_since.pop(known.id, None)
                else:
                    books.unsettled_since[known.id] = books.now
                return self._compare(known, event.settled)
            case CloseRequested(channel_id=channel_id) if known := books.tabs.get(channel_id):
                self._change(known, event, states.CloseRequested(event.closes_at))
                log.info("channel.closing", channel=to_hex(channel_id), closes_at=event.closes_at)
            case ChannelClosed(channel_id=channel_id) if known := books.tabs.get(channel_id):
                return self._close(known, event)
            case GrantSkipped() if event.provider == books.provider:
                self._note_skip(event)
            case OfferPosted() | OffersWithdrawn() | ReceiptKeySet() if event.provider == books.provider:
                self._sell(event)
            case Staked() | UnstakeRequested() | Slashed() if event.provider == books.provider:
                self._weigh(event)
            case Awarded() if books.provider in (event.loser, event.winner):
                self._weigh(event)
            case _:
                pass
        return ()

    def _compare(self, tab: Tab, settled: Atoms) -> Iterable[Tab]:
        """More is settled than we hold receipts for: we have forgotten something, or the payer gives money
        away. While work runs on the channel it is the latter, since a node that has forgotten finds it out
        before it serves; and what runs must be billed."""
        if tab.lost or tab.running or settled <= tab.issued.amount:
            return ()
        tab.lost = True
        log.warning("channel.lost", channel=to_hex(tab.id), settled=settled)
        return (tab,)

    def _sell(self, event: OfferPosted | OffersWithdrawn | ReceiptKeySet) -> None:
        """By what the provider has said on chain."""
        books, gateway = self._books, self._gateway
        minimum, revoked, known = books.minimum_sequence, gateway.key_revoked, dict(books.offers)

        def undo() -> None:
            books.offers.clear()
            books.offers.update(known)
            books.minimum_sequence, gateway.key_revoked = minimum, revoked

        self._journal.note(event.block, undo)
        match event:
            case OfferPosted():
                books.offers[event.offer_hash] = event.offer
                if event.offer.sequence not in books.made:
                    books.past.see_offered(event.block)
            case OffersWithdrawn():
                books.minimum_sequence = event.minimum_sequence
            case ReceiptKeySet():
                gateway.key_revoked = event.receipt_key != books.receipt_key

    def _weigh(self, event: Staked | UnstakeRequested | Slashed | Awarded) -> None:
        """What is behind what this node signs."""
        gateway = self._gateway
        staked, slashed = gateway.staked, gateway.slashed

        def undo() -> None:
            gateway.staked, gateway.slashed = staked, slashed

        self._journal.note(event.block, undo)
        if isinstance(event, Awarded) and event.winner == self._books.provider:
            gateway.staked = event.winner_staked
        else:
            gateway.staked = event.staked
        if isinstance(event, Slashed):
            taken = Atoms(event.reward + event.burnt)
            gateway.slashed = Atoms(slashed + taken)
            log.error("provider.slashed", block=event.block, taken=taken, staked=event.staked)

    def _note(self, tab: Tab, event: ChainEvent) -> None:
        channel, closed = tab.channel, tab.closed

        def undo() -> None:
            tab.channel, tab.closed = channel, closed

        self._journal.note(event.block, undo)

    def _change(self, tab: Tab, event: ChainEvent, change: states.Event) -> None:
        self._note(tab, event)
        tab.channel = states.apply(tab.channel, change)
        self._books.wake(tab)

    def _close(self, tab: Tab, event: ChannelClosed) -> Iterable[Tab]:
        self._note(tab, event)
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
