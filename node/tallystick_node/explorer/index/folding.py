"""Blocks, folded one by one into what the market is after them.

`fold` is the only place where an event changes a row. It says what it found in each row that it changed, so
that a block can be taken back. Pure: the rows that a block needs are brought to it. Events that cannot follow
from what was before are the node's fault, and said to be.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from tallystick.chain.audit_events import AuditsEvent
from tallystick.chain.audit_events import Penalised as AuditPenalised
from tallystick.chain.duel_events import DuelsEvent, Penalised
from tallystick.chain.events import (
    Awarded,
    CapRaised,
    ChainEvent,
    ChannelClosed,
    ChannelOpened,
    CloseRequested,
    Deposited,
    Earned,
    Exited,
    ExitRequested,
    OfferPosted,
    OffersWithdrawn,
    ReceiptKeySet,
    Settled,
    Slashed,
    Staked,
    Unstaked,
    UnstakeRequested,
    Withdrawn,
)
from tallystick_node.explorer.index import facts
from tallystick_node.explorer.index.accusing import AuditFolding, needs_of_audit, strikes_of
from tallystick_node.explorer.index.audit_rows import Accusation, Charges
from tallystick_node.explorer.index.duelling import DuelFolding, needs_of_duel
from tallystick_node.explorer.index.facts import MarketBlock, Row, Whose
from tallystick_node.explorer.index.rows import (
    Account,
    Channel,
    Duel,
    Hour,
    Provider,
    ProviderHour,
    State,
    hour_key,
    provider_hour_key,
)
from tallystick_node.explorer.index.standing import SUMS, Changes, Changing, Place, Standing, incoherent


def needs(blocks: Iterable[MarketBlock]) -> set[Place]:
    """The rows that folding them may ask for, but for what hangs on these."""
    places: set[Place] = {("hours", hour_key(block.hour)) for block in blocks if not block.is_empty}
    for block in blocks:
        for event in block.events:
            places.update(_needs(event))
    return places


def needs_of(found: Iterable[State | ChannelOpened | None], blocks: Iterable[MarketBlock]) -> set[Place]:
    """The rest of them, by the rows that were found, and by the channels that the blocks open."""
    hours = {block.hour for block in blocks if block.events}
    places: set[Place] = set()
    for row in found:
        match row:
            case Duel():
                places.add(("duels", row.root))
            case Charges() | Accusation():
                places |= strikes_of([row])
            case Channel() | ChannelOpened():
                places |= {("accounts", row.payer), ("providers", row.provider)}
                places |= {("provider_hours", provider_hour_key(row.provider, hour)) for hour in hours}
            case _:
                pass
    return places


def _needs(event: ChainEvent) -> Iterator[Place]:
    if isinstance(event, AuditsEvent):
        yield from needs_of_audit(event)
        return
    if isinstance(event, DuelsEvent):
        yield from needs_of_duel(event)
        return
    if isinstance(event, Awarded):
        yield from (("providers", event.loser), ("providers", event.winner))
    for table, name in (("channels", "channel_id"), ("accounts", "payer"), ("providers", "provider")):
        if (key := getattr(event, name, None)) is not None:
            yield table, key


def fold(standing: Standing, block: MarketBlock) -> Changes:
    """Changes `standing` to what it is after `block`."""
    folding = _Folding(standing, block)
    folding.transactions()
    before: ChainEvent | None = None
    for event in block.events:
        folding.event(event, before)
        before = event
    folding.end()
    return folding.changes


class _Folding:
    """One block's."""

    def __init__(self, standing: Standing, block: MarketBlock):
        self._rows = Changing(standing, block.number, block.timestamp)
        self._standing = standing
        self._block = block
        self._sums: Counter[str] = Counter()
        self._positions = {item.hash: item.position for item in block.transactions}
        self._duels = DuelFolding(self._rows, block.events)
        self._audits = AuditFolding(self._rows, block.events)
        self._penalties: Counter[tuple[bytes, bytes]] = Counter()
        """Atoms that are to be taken as such, by transaction and whose they are."""

    @property
    def changes(self) -> Changes:
        return self._rows.changes

    # ------------------------------------------------------------------------------------------- rows

    def _put(self, row: State) -> None:
        self._rows.put(row)

    def _change(self, row: Account | Provider | Channel, **changed: Any) -> None:
        self._put(replace(row, last_block=self._block.number, **changed))

    def _add(self, table: str, row: Row) -> None:
        self._rows.add(table, row)

    def _account(self, address: bytes) -> Account:
        number = self._block.number
        found = self._standing.find(Account, address)
        return found or Account(address=address, first_block=number, last_block=number)

    def _provider(self, address: bytes) -> Provider:
        return self._rows.provider(address)

    def _channel(self, channel_id: bytes) -> Channel:
        found = self._standing.find(Channel, channel_id)
        if found is None:
            raise incoherent(f"channel {channel_id.hex()} was never opened")
        return found

    def end(self) -> None:
        """The block itself, its part of the hour, and what there is at the end of it."""
        block, totals = self._block, self._standing.totals
        totals.held += block.received - block.sent
        totals.duels_held += block.duels_received - block.duels_sent
        totals.audits_held += block.audits_received - block.audits_sent
        if min(totals.held, totals.duels_held, totals.audits_held) < 0:
            raise incoherent(f"more of the asset left the market than came to it, in block {block.number}")
        self._duels.end(block.hash)
        if not block.is_empty:
            hour = self._standing.find(Hour, hour_key(block.hour)) or Hour(hour=block.hour)
            counted = {name: getattr(hour, name) + more for name, more in self._sums.items()}
            self._put(replace(hour, **counted, locked=totals.locked, staked=totals.staked))
        sums = {name: getattr(totals, name) for name in SUMS}
        self._add("blocks", facts.block_row(block, **sums))

    def _count(self, **more: int) -> None:
        """Adds to the hour's figures."""
        self._sums.update(more)

    # ------------------------------------------------------------------------------------------- transactions

    def transactions(self) -> None:
        block = self._block
        if not block.transactions:
            return
        events = Counter[bytes](event.transaction for event in block.events)
        settle_gas = 0
        for item in block.transactions:
            if item.call == "settle":
                settle_gas += item.gas_used
            self._add("transactions", facts.transaction_row(block, item, events=events[item.hash]))
        self._count(
            transactions=len(block.transactions),
            gas_used=sum(item.gas_used for item in block.transactions),
            settle_gas=settle_gas,
            fees=sum(item.gas_used * item.gas_price for item in block.transactions),
        )

    # ------------------------------------------------------------------------------------------- events

    def event(self, event: ChainEvent, before: ChainEvent | None) -> None:
        payer, provider = getattr(event, "payer", None), getattr(event, "provider", None)
        if isinstance(event, Awarded):
            provider = event.loser
        if isinstance(event, DuelsEvent):
            provider = getattr(event, "judge", None)
        if isinstance(event, AuditsEvent):
            provider = provider or getattr(event, "auditor", None)
        channel_id = getattr(event, "channel_id", None)
        if channel_id is not None and (channel := self._standing.find(Channel, channel_id)) is not None:
            payer, provider = payer or channel.payer, provider or channel.provider
        position, timestamp = self._positions[event.transaction], self._block.timestamp
        duel, accusation = self._duels.duel_of(event), self._audits.accusation_of(event)
        whose = Whose(payer=payer, provider=provider, duel=duel, accusation=accusation)
        self._add("events", facts.event_row(event, timestamp, position, whose))
        if isinstance(event, Penalised | AuditPenalised):
            whose_stake = event.judge if isinstance(event, Penalised) else event.auditor
            self._penalties[event.transaction, whose_stake] += event.amount
        if isinstance(event, DuelsEvent):
            self._duels.event(event)
        elif isinstance(event, AuditsEvent):
            self._audits.event(event)
        else:
            self._apply(event, before)

    def _apply(self, event: ChainEvent, before: ChainEvent | None) -> None:
        match event:
            case Deposited() | ExitRequested() | Exited():
                self._account_event(event)
            case Staked() | UnstakeRequested() | Unstaked() | Slashed():
                self._stake_event(event, before)
            case Awarded():
                self._award(event)
            case ReceiptKeySet() | OfferPosted() | OffersWithdrawn() | Earned() | Withdrawn():
                self._book_event(event)
            case ChannelOpened() | CapRaised() | Settled() | CloseRequested() | ChannelClosed():
                self._channel_event(event)
            case _:
                pass  # What was skipped changes nothing, and a proof is told with the slash that follows it.

    def _restake(self, event: ChainEvent, provider: Provider, **changed: Any) -> None:
        """What it has at stake from this event on is kept: what an accusation costs goes by it."""
        after = replace(provider, last_block=self._block.number, **changed)
        place = {"block": event.block, "log_index": event.log_index, "provider": after.address}
        self._put(after)
        self._add("stakes", place | {"staked": after.staked, "exiting": after.exiting})

    def _award(self, event: Awarded) -> None:
        loser = self._provider(event.loser)
        self._restake(
            event,
            loser,
            staked=event.staked,
            exiting=event.exiting,
            exits_at=loser.exits_at if event.exiting else 0,
            prizes_lost=loser.prizes_lost + event.to_winner + event.to_arbiter,
        )
        winner = self._provider(event.winner)
        won = winner.prizes_won + event.to_winner
        self._restake(event, winner, staked=event.winner_staked, prizes_won=won)

    def _account_event(self, event: Deposited | ExitRequested | Exited) -> None:
        account = self._account(event.payer)
        match event:
            case Deposited():
                self._change(account, free=event.free, deposited=account.deposited + event.amount)
                self._count(deposited=event.amount)
            case ExitRequested():
                self._change(account, free=event.free, exiting=event.exiting, exits_at=event.exits_at)
            case Exited():
                left = account.exiting - event.amount
                self._change(account, exiting=left, exits_at=0, exited=account.exited + event.amount)

    def _stake_event(
        self, event: Staked | UnstakeRequested | Unstaked | Slashed, before: ChainEvent | None
    ) -> None:
        provider = self._provider(event.provider)
        match event:
            case Staked():
                self._restake(event, provider, staked=event.staked)
            case UnstakeRequested():
                asked: dict[str, Any] = {"exiting": event.exiting, "exits_at": event.exits_at}
                self._restake(event, provider, staked=event.staked, **asked)
            case Unstaked():
                self._restake(event, provider, exiting=provider.exiting - event.amount, exits_at=0)
            case Slashed():
                self._slash(provider, event, before)

    def _slash(self, provider: Provider, event: Slashed, before: ChainEvent | None) -> None:
        """What a judge loses by a duel, or an auditor by an audit, is a small part of it, and no fraud."""
        taken = event.reward + event.burnt
        place = event.transaction, event.provider
        if taken <= self._penalties[place]:
            self._penalties[place] -= taken
            counted = {"penalties": provider.penalties + taken}
        else:
            accusation = self._audits.accusation_of(event)
            fraud = facts.fraud_row(event, self._block.timestamp, before, accusation)
            more = self._rows.add_fraud(fraud)
            counted = {"slashed": provider.slashed + taken, "slashes": provider.slashes + more}
        self._restake(
            event,
            provider,
            staked=event.staked,
            exiting=event.exiting,
            exits_at=provider.exits_at if event.exiting else 0,
            **counted,
        )

    def _book_event(self, event: ReceiptKeySet | OfferPosted | OffersWithdrawn | Earned | Withdrawn) -> None:
        provider, timestamp = self._provider(event.provider), self._block.timestamp
        match event:
            case ReceiptKeySet():
                self._change(provider, receipt_key=event.receipt_key)
                self._add("receipt_keys", facts.receipt_key_row(event, timestamp))
            case OfferPosted():
                self._change(provider, offers=provider.offers + 1)
                self._add("offers", facts.offer_row(event, timestamp))
                self._count(offers=1)
            case OffersWithdrawn():
                self._change(provider, minimum_sequence=event.minimum_sequence)
            case Earned():
                earned = provider.earned + event.amount
                self._change(provider, balance=event.balance, earned=earned)
            case Withdrawn():
                left, withdrawn = provider.balance - event.amount, provider.withdrawn + event.amount
                self._change(provider, balance=left, withdrawn=withdrawn)

    def _channel_event(
        self, event: ChannelOpened | CapRaised | Settled | CloseRequested | ChannelClosed
    ) -> None:
        match event:
            case ChannelOpened():
                self._open(event)
            case CapRaised():
                channel = self._channel(event.channel_id)
                self._change(channel, cap=event.cap)
                self._draw(self._account(channel.payer), event.cap - channel.cap)
            case Settled():
                self._settle(event)
            case CloseRequested():
                self._change(self._channel(event.channel_id), closes_at=event.closes_at)
            case ChannelClosed():
                self._close(event)

    def _open(self, event: ChannelOpened) -> None:
        self._put(
            Channel(
                channel_id=event.channel_id,
                payer=event.payer,
                provider=event.provider,
                session_key=event.session_key,
                epoch=event.epoch,
                cap=event.cap,
                opened_block=self._block.number,
                opened_at=self._block.timestamp,
                last_block=self._block.number,
            )
        )
        account, provider = self._account(event.payer), self._provider(event.provider)
        self._draw(replace(account, channels=account.channels + 1), event.cap)
        self._change(provider, channels=provider.channels + 1)
        self._count(opened=1)

    def _draw(self, account: Account, atoms: int) -> None:
        """Free ones first, then those on their way out, as the contract does."""
        exiting = account.exiting - max(0, atoms - account.free)
        free = max(0, account.free - atoms)
        exits_at = account.exits_at if exiting or atoms <= account.free else 0
        self._change(account, free=free, exiting=exiting, exits_at=exits_at)

    def _settle(self, event: Settled) -> None:
        channel = self._channel(event.channel_id)
        paid = event.settled - channel.settled
        self._change(channel, settled=event.settled, settlements=channel.settlements + 1)
        self._paid(channel, paid, settlements=1)
        position, timestamp = self._positions[event.transaction], self._block.timestamp
        parties: dict[str, Any] = {"payer": channel.payer, "provider": channel.provider}
        row = facts.settlement_row(event, timestamp, position, paid=paid, **parties)
        self._add("settlements", row)

    def _close(self, event: ChannelClosed) -> None:
        channel = self._channel(event.channel_id)
        self._change(
            channel,
            settled=event.settled,
            returned=event.returned,
            closes_at=0,
            closed_block=self._block.number,
            closed_at=self._block.timestamp,
        )
        if event.settled > channel.settled:
            self._paid(channel, event.settled - channel.settled, settlements=0)
        account = self._account(channel.payer)
        self._change(account, free=account.free + event.returned)
        self._count(closed=1)

    def _paid(self, channel: Channel, atoms: int, *, settlements: int) -> None:
        """What was locked is the provider's. The `Earned` that follows says what its balance is."""
        account, provider = self._account(channel.payer), self._provider(channel.provider)
        self._change(account, paid=account.paid + atoms)
        self._change(provider, settlements=provider.settlements + settlements)
        key = provider_hour_key(channel.provider, self._block.hour)
        hour = self._standing.find(ProviderHour, key) or ProviderHour(
            provider=channel.provider, hour=self._block.hour
        )
        self._put(replace(hour, settlements=hour.settlements + settlements, paid=hour.paid + atoms))
        self._count(settlements=settlements, settled=atoms)
