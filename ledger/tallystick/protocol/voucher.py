"""The session-key-signed total a channel may pay, and what it acknowledges.

A voucher's amount is exactly the sum of the costs of the receipts under its root: nothing is paid in advance.
It knows no channel status and no credit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tallystick.protocol.eip712 import keccak
from tallystick.protocol.errors import (
    AcknowledgementMismatch,
    ReceiptDoesNotAddUp,
    ReceiptNotContiguous,
    RequestHashMismatch,
)
from tallystick.protocol.merkle import Mountains
from tallystick.protocol.message import Message
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.units import ZERO_HASH, Atoms, ChannelId, Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement(Message):
    """Countersigns receipts, and authenticates the request that carries it."""

    TYPE: ClassVar[str] = (
        "Acknowledgement(uint64 receiptCount,bytes32 receiptsRoot,bytes32 requestHash,uint64 requestNonce)"
    )
    receipt_count: int
    receipts_root: Hash32
    request_hash: Hash32 = ZERO_HASH
    """Zero on a bare voucher."""
    request_nonce: int = 0
    """Zero on a bare voucher, and never zero with a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voucher(Message):
    """Signed with the channel's session key. The largest wins; replays are harmless."""

    TYPE: ClassVar[str] = (
        "Voucher(bytes32 channelId,uint128 cumulativeAmount,Acknowledgement acknowledgement)"
        + Acknowledgement.TYPE
    )
    NESTED: ClassVar[Mapping[str, type[Message]]] = {"Acknowledgement": Acknowledgement}
    channel_id: ChannelId
    cumulative_amount: Atoms
    acknowledgement: Acknowledgement


@dataclass(frozen=True, slots=True, kw_only=True)
class Close(Message):
    """Signed with the provider's receipt key: the channel may end at once at this total."""

    TYPE: ClassVar[str] = "Close(bytes32 channelId,uint128 cumulativeAmount)"
    channel_id: ChannelId
    cumulative_amount: Atoms


@dataclass(frozen=True, slots=True)
class Tally:
    """One half of the stick: how many receipts, worth how much in all, under which peaks.

    Both sides keep one. The provider's says what was issued, the payer's what was checked.
    """

    mountains: Mountains = Mountains()
    amount: Atoms = Atoms(0)

    @property
    def count(self) -> int:
        return self.mountains.count

    def append(self, receipt: Receipt) -> "Tally":
        """With the next receipt.

        Raises
        ------
        ReceiptNotContiguous :
            Its sequence is not the next.
        ReceiptDoesNotAddUp :
            Its cumulative cost is not ours plus its cost.
        """
        if receipt.sequence != self.count:
            raise ReceiptNotContiguous(
                "The receipt is not the next of its channel.", required=self.count, actual=receipt.sequence
            )
        amount = Atoms(self.amount + receipt.cost)
        if receipt.cumulative_cost != amount:
            raise ReceiptDoesNotAddUp(
                "The receipt's cumulative cost is not the sum of the costs.",
                required=amount,
                actual=receipt.cumulative_cost,
            )
        return Tally(self.mountains.append(receipt.struct_hash()), amount)

    def voucher(
        self, channel_id: ChannelId, *, request_hash: Hash32 = ZERO_HASH, request_nonce: int = 0
    ) -> Voucher:
        """Pays for, and acknowledges, all of this; not yet signed."""
        return Voucher(
            channel_id=channel_id,
            cumulative_amount=self.amount,
            acknowledgement=Acknowledgement(
                receipt_count=self.count,
                receipts_root=self.mountains.root,
                request_hash=request_hash,
                request_nonce=request_nonce,
            ),
        )


def require_acknowledges(voucher: Voucher, tally: Tally) -> None:
    """The voucher pays for exactly the receipts of `tally`; raises AcknowledgementMismatch."""
    acknowledgement = voucher.acknowledgement
    if acknowledgement.receipt_count != tally.count:
        raise AcknowledgementMismatch(
            "The voucher speaks of another number of receipts.",
            required=tally.count,
            actual=acknowledgement.receipt_count,
        )
    if voucher.cumulative_amount != tally.amount:
        raise AcknowledgementMismatch(
            f"{acknowledgement.receipt_count} receipts cost another amount.",
            required=tally.amount,
            actual=voucher.cumulative_amount,
        )
    if acknowledgement.receipts_root != tally.mountains.root:
        raise AcknowledgementMismatch(
            f"The root is not that of the first {tally.count} receipts.",
            required="0x" + tally.mountains.root.hex(),
            actual="0x" + acknowledgement.receipts_root.hex(),
        )


def request_hash(offer_hash: Hash32, body: bytes) -> Hash32:
    """keccak(offerHash ‖ keccak(body)): a request pins the offer that it is paid under."""
    return keccak(offer_hash + keccak(body))


def require_names(voucher: Voucher, expected: Hash32) -> None:
    """The voucher is for the request that hashes so; a bare one is for nothing and has no nonce. Raises
    RequestHashMismatch."""
    acknowledgement = voucher.acknowledgement
    if acknowledgement.request_hash != expected:
        raise RequestHashMismatch(
            "The voucher is not for this request.",
            required="0x" + expected.hex(),
            actual="0x" + acknowledgement.request_hash.hex(),
        )
    if (acknowledgement.request_nonce == 0) != (expected == ZERO_HASH):
        raise RequestHashMismatch(
            "A request has a nonce, and a bare voucher has none.", actual=acknowledgement.request_nonce
        )
