"""What a provider keeps on disk, as values: changes to save, and what is read back. They know no database.

Losing one is losing money: a voucher is saved before the work it pays for leaves, and a receipt, with
everything sent before it, before the receipt is sent.
"""

from dataclasses import dataclass
from typing import Protocol

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.grant import Grant
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Address, ChannelId, Hash32, Milliseconds
from tallystick.protocol.vote import Ballot, VoteCommitment
from tallystick.protocol.voucher import Acknowledgement, Tally, Voucher


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSaved:
    """A channel that the provider knows; the last one saved holds."""

    key: ChannelKey
    channel_id: ChannelId
    grant: Signed[Grant] | None
    closed: bool
    refusing: bool
    lost: bool = False
    """Something of it may be forgotten: no receipt is ever issued on it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Born:
    """The database was made when the chain was at this block: what it holds of anything older may not be
    all. Zero: the provider had offered nothing before."""

    block: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherSaved:
    """The largest voucher of a channel. A smaller one than the one held changes nothing."""

    voucher: Signed[Voucher]
    tally: Tally
    """What it acknowledges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A voucher of the channel is about to be settled: from what it acknowledged anybody can tell later what
    the settlement paid for. Once more changes nothing."""

    channel_id: ChannelId
    acknowledgement: Acknowledgement


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStarted:
    """From here on the nonce means this request."""

    channel_id: ChannelId
    nonce: int
    request_hash: Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptIssued:
    """With what was sent since the receipt before: whatever is billed can be sent again."""

    receipt: Signed[Receipt]
    text: str
    """As it goes over the wire."""
    nonce: int
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptRestored:
    """One that was issued and forgotten, as its payer has kept it. What it was for is not known any more."""

    receipt: Receipt
    text: str
    """As it goes over the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEnded:
    """The rest of the answer. `content` comes after the last receipt."""

    channel_id: ChannelId
    nonce: int
    media_type: str
    content: bytes
    ended_at: Milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDropped:
    """Nothing was ever billed: the nonce may be used anew."""

    channel_id: ChannelId
    nonce: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BallotCast:
    """What this provider found as a judge. One a duel: the first one stands, whatever is saved after it."""

    ballot: Ballot
    panel: tuple[Address, ...]
    """All judges of the duel: it is revealed once each of them has committed."""
    shown: tuple[Signed[VoteCommitment], ...] = ()
    """The others' commitments for which it was first told: none can disown its own. Empty: it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BallotShown:
    """A ballot that was cast is about to be told for these. The first ones stand."""

    duel: Hash32
    commitments: tuple[Signed[VoteCommitment], ...]


Change = (
    Born
    | ChannelSaved
    | VoucherSaved
    | Presented
    | RequestStarted
    | ReceiptIssued
    | ReceiptRestored
    | RequestEnded
    | RequestDropped
    | BallotCast
    | BallotShown
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChannel:
    """A channel as saved, with what the provider needs to go on."""

    key: ChannelKey
    channel_id: ChannelId
    grant: Signed[Grant] | None
    closed: bool
    refusing: bool
    lost: bool
    voucher: Signed[Voucher] | None
    acknowledged: Tally
    unacknowledged: tuple[Receipt, ...]
    """Issued after it, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """What a nonce was answered with."""

    request_hash: Hash32
    media_type: str
    content: bytes | None
    """None: no longer kept."""
    receipt: str | None
    """The last one of this request, as it went over the wire."""


class Store(Protocol):
    """Where a provider keeps its half."""

    @property
    def forgetful(self) -> bool:
        """It may lack what was once saved to it, and has marked every channel as lost. Until the next
        `Born`."""

    async def save(self, *changes: Change) -> None:
        """All or none, and durable once this returns. Saves take effect in the order of the calls."""

    def birth(self) -> int | None:
        """The block of `Born`; None: never said."""

    def channels(self) -> list[StoredChannel]:
        """All of them, at the start. Requests that a crash cut off are ended: those that a receipt bills
        keep what it covers and end as a stream does, the others are dropped."""

    def answer(self, channel_id: ChannelId, nonce: int) -> StoredAnswer | None:
        """None: the nonce is free, or its request still runs."""

    def receipts(self, channel_id: ChannelId, start: int, limit: int) -> list[Signed[Receipt]]:
        """From sequence `start` on."""

    def texts(self, channel_id: ChannelId, start: int, limit: int) -> list[str]:
        """The same as they went over the wire."""

    def presented(self, channel_id: ChannelId, above: int, most: int) -> list[Acknowledgement]:
        """Of the channel's vouchers that were sent to be settled, those that speak of more than `above`
        receipts and at most of `most`, in that order."""

    def ballot(self, duel: Hash32) -> BallotCast | None:
        """None: this provider has not judged it."""

    def prune(self, before: Milliseconds, limit: int | None = None) -> int:
        """Forgets answers that ended before and whose receipts are acknowledged, or whose channel is closed;
        how many. Their nonces stay used. Where all answers together take more than `limit` bytes, younger
        ones of the same kind go too, the oldest first."""

    def close(self) -> None: ...
