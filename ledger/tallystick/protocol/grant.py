"""A payer's leave to open a channel, or to raise its cap, which anyone may submit."""

from dataclasses import dataclass
from typing import ClassVar

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.message import Message
from tallystick.protocol.units import Address, Atoms, Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant(Message):
    """Signed by the payer's wallet (EOA, or ERC-1271 on chain). Replays and reorders are harmless."""

    TYPE: ClassVar[str] = (
        "Grant(address payer,address provider,address sessionKey,uint24 epoch,uint96 cap,uint64 deadline)"
    )
    payer: Address
    provider: Address
    session_key: Address
    epoch: int
    """The channel's epoch that this grant is for: closing the channel voids it."""
    cap: Atoms
    """What the channel may pay in this epoch, in total."""
    deadline: Timestamp
    """First second at which the grant can no longer be submitted."""

    @property
    def channel(self) -> ChannelKey:
        return ChannelKey(
            payer=self.payer, provider=self.provider, session_key=self.session_key, epoch=self.epoch
        )
