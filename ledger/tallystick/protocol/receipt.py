"""The provider-signed account of work delivered.

It knows no voucher. What a payer must compare it with is a `Transcript`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final

from tallystick.protocol.message import Message
from tallystick.protocol.units import Atoms, ChannelId, Hash32, Milliseconds, Tokens


class Finish(IntEnum):
    """Why a receipt ends where it does."""

    INTERIM = 0
    """The stream goes on; this pays for the part so far."""
    STOP = 1
    LENGTH = 2
    TOOL_CALLS = 3
    CONTENT_FILTER = 4
    CANCELLED = 5
    """The payer went away."""
    ENGINE_FAILED = 6
    OUT_OF_CREDIT = 7
    """Paused for an acknowledgement that did not come in time."""
    DRAINED = 8
    """The provider shut down."""
    OTHER = 9


WHOLE: Final = frozenset((Finish.STOP, Finish.LENGTH, Finish.TOOL_CALLS, Finish.CONTENT_FILTER, Finish.OTHER))
"""Ends of an answer that its provider chose to give, whatever it calls them: none of them may keep an answer
from those who judge or audit it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt(Message):
    """Signed with the provider's receipt key. Two with one (channel, sequence) are proof of fraud."""

    TYPE: ClassVar[str] = (
        "Receipt(bytes32 channelId,uint64 sequence,bytes32 offerHash,bytes32 requestHash,"
        "bytes32 responseHash,bytes32 tokensHash,uint32 inputTokens,uint32 cachedInputTokens,"
        "uint32 outputTokens,uint8 finish,uint64 receivedAt,uint64 firstTokenAt,uint64 finishedAt,"
        "uint128 cost,uint128 cumulativeCost)"
    )
    channel_id: ChannelId
    sequence: int
    """Dense per channel, from 0, assigned when the receipt is issued."""
    offer_hash: Hash32
    request_hash: Hash32
    response_hash: Hash32
    """Over everything sent for this request before this receipt."""
    tokens_hash: Hash32
    """Over all output token ids of this request so far; zero where the engine gives none."""
    input_tokens: Tokens
    """All of the input, on the first receipt of a request; zero on later ones."""
    cached_input_tokens: Tokens
    """The part of `input_tokens` billed as cached."""
    output_tokens: Tokens
    """Since the previous receipt of this request."""
    finish: int
    """A `Finish`."""
    received_at: Milliseconds
    first_token_at: Milliseconds
    """Zero where no token was delivered."""
    finished_at: Milliseconds
    cost: Atoms
    cumulative_cost: Atoms
    """Sum of the costs of the channel's receipts, this one included."""
