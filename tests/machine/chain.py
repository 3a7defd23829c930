"""The contract as a model: a log of events from which all state follows, as an indexer would have it.

The log can lose its end and have it mined again, which is what a reorganisation is.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tallystick.chain.errors import ChainUnavailable
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
    Settled,
    Skip,
)
from tallystick.chain.follower import Update
from tallystick.ports import Account, Clock, Gain, Head, Look, MarketTerms, PostedOffer
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.grant import Grant
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Signed, verify
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, Timestamp
from tallystick.protocol.voucher import Close, Voucher
from tests.contract import Place, apply, held_at, named, place_of

CLOSE_NOTICE = 3600
"""Seconds."""


class ModelChain:
    """ChainReader, Directory and Settlement; `Closer`'s two calls as well."""

    def __init__(self, clock: Clock, domain: Domain, receipt_key: Address):
        self.down = False
        self._clock = clock
        self._domain = domain
        self._receipt_key = receipt_key
        self._transactions: list[tuple[Callable[[], Sequence[ChainEvent]], int]] = []
        """What was mined, and how many events it left."""
        self.log: list[ChainEvent] = []
        self._views: list[View] = []
        self._empty = 0
        """Blocks without an event, which come whatever happens."""
        self._forget()

    def _forget(self) -> None:
        self._free: dict[Address, int] = {}
        self.channels: dict[Place, Channel] = {}
        self._offers: dict[int, Offer] = {}
        self._minimum_sequence = 0

    # ---- blocks

    @property
    def height(self) -> int:
        return len(self._transactions)

    def mine(self, transaction: Callable[[], Sequence[ChainEvent]]) -> None:
        """Its events, and what follows from them."""
        self._require_up()
        events = transaction()
        self._transactions.append((transaction, len(events)))
        for event in events:
            self.log.append(event)
            self._apply(event)

    def reorganise(self, depth: int, *, mined_again: bool) -> None:
        """The last `depth` transactions never were; perhaps they are mined anew."""
        kept, lost = self._transactions[:-depth], self._transactions[-depth:]
        length = sum(count for _, count in kept)
        events, self.log, self._transactions = self.log[:length], [], kept
        self._forget()
        for event in events:
            self.log.append(event)
            self._apply(event)
        for view in self._views:
            view.cut(length)
        for transaction, _ in lost if mined_again else ():
            self.mine(transaction)

    def _apply(self, event: ChainEvent) -> None:
        match event:
            case Deposited():
                self._free[event.payer] = event.free
            case ChannelOpened():
                self._free[event.payer] -= event.cap
            case CapRaised():
                held = named(self.channels, event.channel_id)
                self._free[held.key.payer] -= event.cap - held.cap
            case Settled():
                held = named(self.channels, event.channel_id)
                assert held.settled <= event.settled <= held.cap
            case ChannelClosed():
                held = named(self.channels, event.channel_id)
                self._free[held.key.payer] += held.cap - event.settled
            case OfferPosted():
                self._offers[event.sequence] = event.offer
            case OffersWithdrawn():
                self._minimum_sequence = event.minimum_sequence
        apply(self.channels, event)

    def _event(self, kind: type[ChainEvent], **values: Any) -> ChainEvent:
        return kind(block=self._newest + 1, log_index=0, transaction=ZERO_HASH, **values)

    def _require_up(self) -> None:
        if self.down:
            raise ChainUnavailable("The chain is gone.")

    @property
    def _now(self) -> Timestamp:
        return Timestamp(self._clock.milliseconds() // 1000)

    # ---- transactions

    def deposit(self, payer: Address, amount: int) -> None:
        def run() -> Sequence[ChainEvent]:
            free = Atoms(self._free.get(payer, 0) + amount)
            return [self._event(Deposited, payer=payer, amount=Atoms(amount), free=free)]

        self.mine(run)

    def post_offer(self, offer: Offer) -> None:
        posted = {"provider": offer.provider, "sequence": offer.sequence, "offer_hash": offer.struct_hash()}
        self.mine(lambda: [self._event(OfferPosted, offer=offer, **posted)])

    def withdraw_offers(self, provider: Address, minimum_sequence: int) -> None:
        values = {"provider": provider, "minimum_sequence": minimum_sequence}
        self.mine(lambda: [self._event(OffersWithdrawn, **values)])

    def open_channels(self, grants: Sequence[Signed[Grant]]) -> int:
        for signed in grants:
            self.mine(lambda signed=signed: self._opened(signed))  # type: ignore[misc]
        return self._newest

    def _opened(self, signed: Signed[Grant]) -> Sequence[ChainEvent]:
        grant = signed.message
        verify(signed, self._domain, signer=grant.payer)
        held = held_at(self.channels, place_of(grant.channel))
        reason = self._why_not(grant, held)
        if reason is not None:
            place = {"payer": grant.payer, "provider": grant.provider, "session_key": grant.session_key}
            return [self._event(GrantSkipped, reason=reason, **place)]
        if held.cap:
            return [self._event(CapRaised, channel_id=held.id, cap=grant.cap)]
        return [
            self._event(
                ChannelOpened,
                channel_id=held.id,
                payer=grant.payer,
                provider=grant.provider,
                session_key=grant.session_key,
                epoch=grant.epoch,
                cap=grant.cap,
            )
        ]

    def _why_not(self, grant: Grant, held: Channel) -> Skip | None:
        if grant.epoch != held.key.epoch:
            return Skip.STALE_EPOCH
        if grant.deadline <= self._now:
            return Skip.EXPIRED
        if held.closes_at:
            return Skip.CHANNEL_CLOSING
        if grant.cap <= held.cap:
            return Skip.NOT_GREATER
        if self._free.get(grant.payer, 0) < grant.cap - held.cap:
            return Skip.INSUFFICIENT_FREE
        return None

    def settle(
        self, vouchers: Sequence[tuple[ChannelKey, Signed[Voucher]]], *, highest_gas_price: int | None = None
    ) -> Gain:
        before = sum(channel.settled for channel in self.channels.values())
        for key, signed in vouchers:
            self.mine(lambda key=key, signed=signed: self._settled(key, signed))  # type: ignore[misc]
        gained = sum(channel.settled for channel in self.channels.values()) - before
        return Gain(atoms=Atoms(gained), block=self._newest)

    def gas_price(self) -> int:
        return 1

    def look_up(self, *, recheck: bool = False) -> Look:
        return Look(in_flight=False, found=0)

    def _settled(self, key: ChannelKey, signed: Signed[Voucher]) -> Sequence[ChainEvent]:
        verify(signed, self._domain, signer=key.session_key)
        held = held_at(self.channels, place_of(key))
        amount = min(signed.message.cumulative_amount, held.cap)
        if held.id != signed.message.channel_id or amount <= held.settled:
            return []
        return [
            self._event(Settled, channel_id=held.id, settled=Atoms(amount), acknowledgement_hash=ZERO_HASH)
        ]

    def request_close(self, key: ChannelKey) -> None:
        def run() -> Sequence[ChainEvent]:
            held = held_at(self.channels, place_of(key))
            if held.id != key.id or not held.cap or held.closes_at:
                return []
            closes_at = Timestamp(self._now + CLOSE_NOTICE)
            return [self._event(CloseRequested, channel_id=held.id, closes_at=closes_at)]

        self.mine(run)

    def finalize_close(self, key: ChannelKey) -> None:
        def run() -> Sequence[ChainEvent]:
            held = held_at(self.channels, place_of(key))
            if held.id != key.id or not held.closes_at or held.closes_at > self._now:
                return []
            return [self._closed(held, held.settled)]

        self.mine(run)

    def close(self, key: ChannelKey, signed: Signed[Close]) -> None:
        def run() -> Sequence[ChainEvent]:
            verify(signed, self._domain, signer=self._receipt_key)
            held = held_at(self.channels, place_of(key))
            if held.id != signed.message.channel_id or not held.cap:
                return []
            settled = max(held.settled, min(signed.message.cumulative_amount, held.cap))
            return [self._closed(held, Atoms(settled))]

        self.mine(run)

    def _closed(self, held: Channel, settled: Atoms) -> ChainEvent:
        returned = Atoms(held.cap - settled)
        return self._event(ChannelClosed, channel_id=held.id, settled=settled, returned=returned)

    # ---- questions

    @property
    def _newest(self) -> int:
        return len(self.log) + self._empty

    def head(self) -> Head:
        self._require_up()
        self._empty += 1
        return Head(number=self._newest, timestamp=self._now)

    def is_receipt_key(self, provider: Address, key: Address) -> bool:
        return key == self._receipt_key

    def account(self, payer: Address) -> Account:
        self._require_up()
        return Account(free=Atoms(self._free.get(payer, 0)), exiting=Atoms(0), exits_at=Timestamp(0))

    def channel(self, payer: Address, provider: Address, session_key: Address) -> Channel:
        self._require_up()
        return held_at(self.channels, (payer, provider, session_key))

    def stake(self, provider: Address) -> Stake:
        return Stake(
            provider=provider,
            staked=Atoms(1),
            exiting=Atoms(0),
            exits_at=Timestamp(0),
            receipt_key=self._receipt_key,
        )

    def terms(self) -> MarketTerms:
        return MarketTerms(minimum_stake=Atoms(1), unit=Atoms(1_000_000))

    def offers(self) -> Sequence[PostedOffer]:
        self._require_up()
        standing = [offer for number, offer in self._offers.items() if number >= self._minimum_sequence]
        newest = {offer.model: offer for offer in sorted(standing, key=lambda offer: offer.sequence)}
        return [
            PostedOffer(offer=offer, offer_hash=offer.struct_hash(), stake=self.stake(offer.provider))
            for offer in newest.values()
            if offer.valid_until > self._now
        ]

    def follower(self) -> "View":
        view = View(self)
        self._views.append(view)
        return view


class View:
    """One follower's place in the log."""

    def __init__(self, chain: ModelChain):
        self._chain = chain
        self._read = 0
        self._rewound_to: int | None = None

    def cut(self, length: int) -> None:
        if self._read > length:
            kept = self._chain.log[length - 1].block if length else -1
            self._read, self._rewound_to = length, kept

    def start_over(self) -> None:
        self._read, self._rewound_to = 0, -1

    def poll(self) -> Update:
        head = self._chain.head()
        events = tuple(self._chain.log[self._read :])
        self._read, rewound_to, self._rewound_to = len(self._chain.log), self._rewound_to, None
        return Update(head=head, events=events, rewound_to=rewound_to, final=-1)
