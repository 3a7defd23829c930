"""What a provider keeps of one channel and of one account: receipts issued, acknowledged, and work reserved
for.

A tab is the provider's half of a channel's tally. It knows no offer, no clock and no disk; what may be put on
it is for `admission` to say.
"""

from bisect import bisect_left
from dataclasses import dataclass, field

from tallystick.protocol.channel import Channel, Status
from tallystick.protocol.errors import (
    AcknowledgementMismatch,
    ChannelNotOpen,
    ChannelUnknown,
    VoucherExceedsCap,
    WrongEpoch,
)
from tallystick.protocol.grant import Grant
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed, Verified
from tallystick.protocol.units import Address, Atoms, ChannelId
from tallystick.protocol.voucher import Tally, Voucher, require_acknowledges


@dataclass(slots=True, kw_only=True, eq=False)
class Reservation:
    """Room that one running request holds. What it was sent and is on no receipt costs at most `held`."""

    held: Atoms
    floor: Atoms = Atoms(0)
    """What it can count on while it runs, once all is acknowledged: others may not be promised this room."""
    waiting: bool = False
    """Paused: newcomers give way to it."""

    @property
    def entitled(self) -> Atoms:
        return max(self.held, self.floor)


@dataclass(slots=True, kw_only=True, eq=False)
class Tab:
    """One channel. `acknowledged <= issued`, in receipts and in atoms."""

    channel: Channel
    """As the chain has it; a cap of zero while the chain does not."""
    grant: Signed[Grant] | None = None
    """Held, and perhaps not mined yet."""
    closed: bool = False
    """The chain closed this epoch."""
    kept: bool = False
    """On disk. A tab that a grant opened is not, and the grant is not handed in, until a request comes as far
    as to be weighed."""
    lost: bool = False
    """Receipts were issued on it that we have forgotten, or may have been: none is ever issued again."""
    refusing: bool = False
    """We signed a close: no voucher above it may ever be accepted."""
    voucher: Signed[Voucher] | None = None
    """The largest accepted."""
    acknowledged: Tally = Tally()
    issued: Tally = Tally()
    running: dict[int, Reservation] = field(default_factory=dict)
    """By request nonce."""
    _tallies: list[Tally] = field(default_factory=list)
    """After each receipt that is not acknowledged yet; of those taken back, only where a voucher ends."""
    _passed: Tally | None = None
    """The last of them, where it is one that no voucher needs."""
    id: ChannelId = field(init=False)
    """Of the channel in this epoch: hashed once, asked for often."""

    def __post_init__(self) -> None:
        self.id = self.channel.id

    @property
    def granted(self) -> Atoms:
        return self.grant.message.cap if self.grant is not None else Atoms(0)

    @property
    def owed(self) -> Atoms:
        """On receipts, and not acknowledged."""
        return Atoms(self.issued.amount - self.acknowledged.amount)

    @property
    def reserved(self) -> Atoms:
        return Atoms(sum(item.held for item in self.running.values()))

    @property
    def drawn(self) -> Atoms:
        """Everything ever delivered or reserved in this epoch, acknowledged or not: what the cap must
        hold."""
        return Atoms(self.issued.amount + self.reserved)

    @property
    def paid(self) -> Atoms:
        """Settled, or acknowledged and sure to be."""
        return max(self.channel.settled, min(self.acknowledged.amount, self.channel.cap))

    @property
    def unopened(self) -> bool:
        """We signed its close, because it may be one that we have forgotten, and the chain has not seen
        it."""
        return self.lost and self.refusing and not self.closed and self.channel.status is Status.NONE

    @property
    def ending(self) -> bool:
        """We signed its close because it is lost, and what is still to come before the chain's is ours to
        do."""
        there = self.grant is not None or self.channel.status is not Status.NONE
        return self.lost and self.refusing and not self.closed and there

    def require_open(self) -> None:
        """It takes vouchers and work; raises WrongEpoch, ChannelNotOpen or ChannelUnknown."""
        if self.closed:
            raise WrongEpoch("This epoch of the channel was closed.", actual=self.channel.key.epoch)
        if self.refusing or self.channel.status is Status.CLOSING:
            raise ChannelNotOpen("The channel is closing and takes no more work.")
        if self.channel.status is Status.NONE and self.grant is None:
            raise ChannelUnknown("The chain knows no such channel. Open it, or send a grant along.")

    def issue(self, receipt: Receipt) -> None:
        """The next receipt; raises what `Tally.append` does."""
        self.issued = self.issued.append(receipt)
        self._tallies.append(self.issued)

    def take_back(self, receipt: Receipt, *, wanted: int) -> None:
        """The next receipt, which we have forgotten, of a half whose voucher acknowledges `wanted`; raises
        what `Tally.append` does. A long history comes back whole, and its tallies would fill the memory."""
        self.issued = self.issued.append(receipt)
        if self._passed is not None and self._tallies and self._tallies[-1] is self._passed:
            self._tallies.pop()
        self._tallies.append(self.issued)
        self._passed = self.issued if self.issued.count != wanted else None

    def acknowledge(self, verified: Verified[Voucher]) -> bool:
        """Whether the voucher acknowledges more than the one held. One that was overtaken changes nothing.

        Raises
        ------
        VoucherExceedsCap :
            The chain would not pay it, and no grant that is held raises the cap so far.
        AcknowledgementMismatch :
            It is not that of a prefix of the receipts issued.
        """
        voucher = verified.message
        cap = max(self.channel.cap, self.granted)
        if voucher.cumulative_amount > cap:
            raise VoucherExceedsCap(
                "The channel's cap would not pay this voucher.",
                required=cap,
                actual=voucher.cumulative_amount,
            )
        count = voucher.acknowledgement.receipt_count
        if count > self.issued.count:
            raise AcknowledgementMismatch(
                "The voucher acknowledges receipts that were not issued.",
                required=self.issued.count,
                actual=count,
            )
        if count < self.acknowledged.count and voucher.cumulative_amount <= self.acknowledged.amount:
            return False
        if count <= self.acknowledged.count:
            require_acknowledges(voucher, self.acknowledged)
            return False
        index = bisect_left(self._tallies, count, key=lambda tally: tally.count)
        require_acknowledges(voucher, self._tallies[index])
        self.acknowledged = self._tallies[index]
        del self._tallies[: index + 1]
        self.voucher = verified.signed
        return True

    def prefix_up(self, amount: Atoms) -> Atoms:
        """The smallest sum of a prefix of the receipts that is at least `amount`, rounded up to a receipt;
        all of them where none is."""
        if amount <= self.acknowledged.amount:
            return self.acknowledged.amount
        index = bisect_left(self._tallies, amount, key=lambda tally: tally.amount)
        return self._tallies[index].amount if index < len(self._tallies) else self.issued.amount


@dataclass(slots=True, kw_only=True, eq=False)
class Account:
    """All that one payer has with this provider. Tabs of closed channels stay while they owe."""

    payer: Address
    tabs: dict[ChannelId, Tab] = field(default_factory=dict)

    @property
    def owed(self) -> Atoms:
        return Atoms(sum(tab.owed for tab in self.tabs.values()))

    @property
    def reserved(self) -> Atoms:
        return Atoms(sum(tab.reserved for tab in self.tabs.values()))

    @property
    def exposure(self) -> Atoms:
        """Delivered and not acknowledged, and reserved: never more than the credit."""
        return Atoms(self.owed + self.reserved)

    @property
    def entitled(self) -> Atoms:
        """As `exposure`, with what each running request can count on."""
        return Atoms(
            self.owed + sum(item.entitled for tab in self.tabs.values() for item in tab.running.values())
        )

    @property
    def waiting(self) -> bool:
        return any(item.waiting for tab in self.tabs.values() for item in tab.running.values())

    @property
    def unsecured(self) -> Atoms:
        """Drawn on grants that the chain has not mined: nothing could settle it yet."""
        return Atoms(sum(max(0, tab.drawn - tab.channel.cap) for tab in self.tabs.values() if not tab.closed))
