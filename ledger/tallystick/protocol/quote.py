"""A provider's promise of how long one request will take. It holds room for it, and what comes of it is
compared with it."""

from dataclasses import dataclass
from typing import ClassVar, Final

from tallystick.protocol.message import Message
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import Address, ChannelId, Hash32, Milliseconds, Tokens

TOLERATED: Final = 1.5
TOLERATED_MS: Final = 300
"""A provider takes a request whose time it expects to be at most so many times what the payer expects, and so
many milliseconds more; else it answers with a quote of its own (`bounced`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote(Message):
    """Signed with the provider's receipt key."""

    TYPE: ClassVar[str] = (
        "Quote(address provider,bytes32 channelId,bytes32 offerHash,bytes32 requestHash,uint64 inputTokens,"
        "uint64 outputTokens,uint64 firstTokenUs,uint64 tokenUs,uint64 validUntil)"
    )
    provider: Address
    channel_id: ChannelId
    """Whom it was given."""
    offer_hash: Hash32
    request_hash: Hash32
    """The request that was accepted under it, or bounced; zero where one asked before sending."""
    input_tokens: Tokens
    output_tokens: Tokens
    """The size that it was made for."""
    first_token_us: int
    token_us: int
    """Microseconds until the first token, and between tokens after that."""
    valid_until: Milliseconds
    """Up to then, by the provider's clock, room is held for it; zero: none is."""

    @property
    def pace(self) -> Pace:
        return Pace(self.first_token_us / 1e6, self.token_us / 1e6)
