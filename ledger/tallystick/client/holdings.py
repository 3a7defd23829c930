"""What a purse holds: channels that are leased, requests that are open, receipts that were accepted.

channel   open ──▶ retired (no new requests) ──▶ closed
            └────▶ refused (a false receipt: no more acknowledgements) ──▶ abandoned (and closing)

request   open ──▶ done | void (no work) | refused (not paid)
            └────▶ unbilled (answered, or lost; no receipt yet) ──▶ done
"""

from dataclasses import dataclass, field
from typing import Final

from tallystick.client.lease import Lease
from tallystick.ports import PostedOffer
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.grant import Grant
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, Signed
from tallystick.protocol.units import Address, Atoms, ChannelId, Hash32, Milliseconds
from tallystick.protocol.voucher import Tally

OVER: Final = ("closed", "abandoned")
"""States of channels that are of no use any more."""
PAYING: Final = ("open", "retired")
"""States of channels whose vouchers still grow."""


@dataclass(slots=True, eq=False)
class OpenChannel:
    """A channel that this process has leased. Only its purse changes it."""

    key: ChannelKey
    id: ChannelId
    session: Key
    lease: Lease
    granted: Atoms = Atoms(0)
    grant: Signed[Grant] | None = None
    tally: Tally = Tally()
    """The contiguous receipts, from the first: what a voucher acknowledges."""
    waiting: dict[int, Receipt] = field(default_factory=dict)
    """Checked receipts behind a gap, by sequence."""
    delivered: int = 0
    """Receipts that the provider is known to have an acknowledgement of."""
    grant_delivered: bool = False
    confirmed: bool = True
    """We hold all that we ever acknowledged on it. Not sure of a channel that comes out of a file: it may be
    an old one."""
    state: str = "open"
    running: dict[int, Atoms] = field(default_factory=dict)
    """What each open request may still cost, by nonce."""

    @property
    def usable(self) -> bool:
        return self.state == "open"

    @property
    def refused(self) -> bool:
        """A receipt of it was refused: nothing after is acknowledged."""
        return self.state in ("refused", "abandoned")

    @property
    def committed(self) -> Atoms:
        """What the channel may have to pay in all, as things stand."""
        waiting = sum(receipt.cost for receipt in self.waiting.values())
        return Atoms(self.tally.amount + waiting + sum(self.running.values()))

    def billed(self, nonce: int, cost: int, *, ended: bool) -> None:
        """An open request cost so much more."""
        if ended:
            self.running.pop(nonce, None)
        elif nonce in self.running:
            self.running[nonce] = Atoms(max(0, self.running[nonce] - cost))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A request that the purse has reserved atoms for. Asking again under its nonce never pays twice."""

    channel: OpenChannel
    nonce: int
    request_hash: Hash32
    posted: PostedOffer
    path: str
    model: str
    body: bytes
    streamed: bool
    worst: Atoms
    sent_at: Milliseconds
    """By the payer's clock."""
    pair: int | None = None
    """Number of the one that it was made for, behind its caller's back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldReceipt:
    """A receipt as the purse keeps it."""

    receipt: Signed[Receipt]
    provider: Address
    model: str
    nonce: int
    acknowledged: bool
    """False while an earlier receipt of its channel is missing."""
    received_at: Milliseconds
    """By the payer's clock."""
