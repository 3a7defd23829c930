"""The contract in memory, as far as a gateway looks: accounts, channels, offers, and the events they
leave."""

from collections.abc import Sequence
from typing import Any

from tallystick.chain.errors import ChainDisputed, ChainUnavailable
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
from tallystick.ports import Account, Clock, Gain, Head, Look
from tallystick.protocol.channel import Channel, ChannelKey
from tallystick.protocol.grant import Grant
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Signed
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, ChannelId, Timestamp
from tallystick.protocol.voucher import Close, Voucher
from tests.contract import Place, apply, held_at, place_of


class FakeChain:
    """ChainReader, Settlement, OfferBoard and ChainFollower in one. What happens is polled at once."""

    def __init__(self, clock: Clock):
        self.clock = clock
        self.gone = False
        self.asked = 0
        """How often about an account."""
        self.free: dict[Address, int] = {}
        self.channels: dict[Place, Channel] = {}
        self.settlements: list[list[tuple[ChannelId, Atoms]]] = []
        self.submitted: list[Signed[Grant]] = []
        self.holds_grants = False
        """Grants that are handed in are not mined yet."""
        self.receipt_keys: set[Address] = set()
        self._log: list[ChainEvent] = []
        self._read = 0
        self._rewound: int | None = None
        self.wei_a_gas = 10**9
        self.highest: list[int | None] = []
        """What settlements were allowed to cost, in wei a gas."""
        self.empty_blocks = 0
        """On top of those that hold an event each."""
        self.in_flight = False
        self.hides_settlements = False
        """They are mined, and leave no event: as one that was skipped."""
        self.disputed = False
        self.sequence = 0
        self.minimum_sequence = 0

    # ---- what tests do

    def deposit(self, payer: Address, amount: int) -> None:
        self.free[payer] = self.free.get(payer, 0) + amount
        self.emit(Deposited, payer=payer, amount=Atoms(amount), free=Atoms(self.free[payer]))

    def open(self, key: ChannelKey, cap: int) -> None:
        if held_at(self.channels, place_of(key)).cap > 0:
            self.emit(CapRaised, channel_id=key.id, cap=Atoms(cap))
            return
        self.emit(
            ChannelOpened,
            channel_id=key.id,
            payer=key.payer,
            provider=key.provider,
            session_key=key.session_key,
            epoch=key.epoch,
            cap=Atoms(cap),
        )

    def pay(self, key: ChannelKey, settled: int) -> None:
        self.emit(Settled, channel_id=key.id, settled=Atoms(settled), acknowledgement_hash=ZERO_HASH)

    def request_close(self, key: ChannelKey) -> None:
        self.emit(CloseRequested, channel_id=key.id, closes_at=Timestamp(self.now + 3600))

    def close(self, key: ChannelKey, signed: Signed[Close] | None = None) -> None:
        settled = self.channels[place_of(key)].settled
        assert signed is None or signed.message.cumulative_amount <= settled
        self.emit(ChannelClosed, channel_id=key.id, settled=settled, returned=Atoms(0))

    def skip(self, key: ChannelKey, reason: Skip = Skip.INSUFFICIENT_FREE) -> None:
        """What anybody can have the contract report."""
        self.emit(
            GrantSkipped,
            payer=key.payer,
            provider=key.provider,
            session_key=key.session_key,
            reason=reason,
        )

    def withdraw_offers(self, minimum_sequence: int, provider: Address) -> None:
        self.minimum_sequence = minimum_sequence
        self.emit(OffersWithdrawn, provider=provider, minimum_sequence=minimum_sequence)

    def set_receipt_key(self, provider: Address, receipt_key: Address) -> None:
        self.emit(ReceiptKeySet, provider=provider, receipt_key=receipt_key)

    def rewind(self, keep: int) -> None:
        """The chain takes back all but the first `keep` events."""
        del self._log[keep:]
        self.channels.clear()
        for event in self._log:
            apply(self.channels, event)
        if self._read > keep:
            self._read, self._rewound = keep, keep - 1

    @property
    def length(self) -> int:
        """Of the log: what `rewind` counts in."""
        return len(self._log)

    @property
    def everything(self) -> tuple[ChainEvent, ...]:
        return tuple(self._log)

    def start_over(self) -> None:
        self._read = 0

    def read_again(self) -> None:
        """A new follower starts from the first event."""
        self._read = 0

    @property
    def now(self) -> int:
        return self.clock.milliseconds() // 1000

    # ---- the ports

    def head(self) -> Head:
        number = max(len(self._log) - 1, 0) + self.empty_blocks
        return Head(number=number, timestamp=Timestamp(self.now))

    def account(self, payer: Address) -> Account:
        self.asked += 1
        self._require_there()
        return Account(free=Atoms(self.free.get(payer, 0)), exiting=Atoms(0), exits_at=Timestamp(0))

    def stake(self, provider: Address) -> Stake:
        raise NotImplementedError

    def is_receipt_key(self, provider: Address, key: Address) -> bool:
        return key in self.receipt_keys

    def channel(self, payer: Address, provider: Address, session_key: Address) -> Channel:
        self._require_there()
        return held_at(self.channels, (payer, provider, session_key))

    def poll(self) -> Update:
        self._require_there()
        if self.disputed:
            raise ChainDisputed("A witness contradicts the node.")
        events, self._read = self._log[self._read :], len(self._log)
        rewound, self._rewound = self._rewound, None
        return Update(head=self.head(), events=tuple(events), rewound_to=rewound, final=-1)

    def open_channels(self, grants: Sequence[Signed[Grant]]) -> int:
        self._require_there()
        self.submitted.extend(grants)
        if self.holds_grants:
            return 0
        for signed in grants:
            self.mine(signed.message)
        return len(self._log) - 1

    def gas_price(self) -> int:
        self._require_there()
        return self.wei_a_gas

    def look_up(self, *, recheck: bool = False) -> Look:
        self._require_there()
        return Look(in_flight=self.in_flight, found=0)

    def mine(self, grant: Grant) -> None:
        held = self.channel(grant.payer, grant.provider, grant.session_key)
        if grant.epoch != held.key.epoch:
            self.skip(grant.channel, Skip.STALE_EPOCH)
            return
        difference = grant.cap - held.cap
        if self.free.get(grant.payer, 0) < difference:
            self.skip(grant.channel)
            return
        self.free[grant.payer] -= difference
        self.open(grant.channel, grant.cap)

    def settle(
        self,
        vouchers: Sequence[tuple[ChannelKey, Signed[Voucher]]],
        *,
        highest_gas_price: int | None = None,
    ) -> Gain:
        self._require_there()
        self.highest.append(highest_gas_price)
        gained = 0
        rows = []
        for key, signed in vouchers:
            held = self.channels[place_of(key)]
            settled = min(signed.message.cumulative_amount, held.cap)
            rows.append((key.id, Atoms(settled)))
            if self.hides_settlements:
                continue
            gained += settled - held.settled
            self.emit(Settled, channel_id=key.id, settled=Atoms(settled), acknowledgement_hash=ZERO_HASH)
        self.settlements.append(rows)
        return Gain(atoms=Atoms(gained), block=len(self._log) - 1)

    def offers_of(self, provider: Address) -> tuple[int, int]:
        return self.sequence, self.minimum_sequence

    def post_offer(self, signed: Signed[Offer]) -> None:
        offer = signed.message
        self.sequence = offer.sequence
        self.emit(
            OfferPosted,
            provider=offer.provider,
            sequence=offer.sequence,
            offer_hash=offer.struct_hash(),
            offer=offer,
        )

    def _require_there(self) -> None:
        if self.gone:
            raise ChainUnavailable("The chain is gone.")

    def emit(self, kind: type[ChainEvent], **values: Any) -> None:
        self.say(kind, **values)
        apply(self.channels, self._log[-1])

    def say(self, kind: type[ChainEvent], **values: Any) -> None:
        """Whether it is true or not."""
        self._log.append(kind(block=len(self._log), log_index=0, transaction=ZERO_HASH, **values))
