"""What an auditor says of a provider's answers, signed: the message that a strike is made of.

It knows neither answers nor how they are weighed; see `evidence`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from tallystick.protocol.message import Message
from tallystick.protocol.units import Address, Hash32, Milliseconds, Tokens


class Verdict(IntEnum):
    CLEAR = 0
    """The answers are such as the promised model gives."""
    ALARM = 1
    """They are unlikely, which by itself proves nothing: look again."""
    STRIKE = 2
    """An honest provider gives such answers less often than the scale allows for."""


class Check(IntEnum):
    """What an answer was held against. The one that `evidence` is of."""

    NONE = 0
    COUNTS = 1
    """It ends where nothing ended it, or holds another number of tokens than its receipt bills."""
    RANK = 2
    """At temperature zero: how far each token is behind the one that the model likes best."""
    REPLAY = 3
    """The same request, with its seed, asked of somebody else: token for token until they part."""
    LOGPROB = 4
    """The log-probability that the provider gave each token, beside the model's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Message):
    """Signed with the receipt key of a provider, the auditor. It speaks of answers of one other provider."""

    TYPE: ClassVar[str] = (
        "Finding(address auditor,address provider,bytes32 receiptHash,bytes32 receiptsRoot,"
        "uint32 receiptCount,bytes32 scalesHash,uint8 check,uint8 verdict,uint64 tokens,uint64 evidence,"
        "uint64 foundAt)"
    )
    auditor: Address
    provider: Address
    receipt_hash: Hash32
    """Struct hash of the receipt that was drawn last: by it the auditor was drawn, and it is under the
    root."""
    receipts_root: Hash32
    """Merkle root over the struct hashes of all receipts that were looked at, in sequence order."""
    receipt_count: int
    scales_hash: Hash32
    """Of the scales by which it was weighed: what was taken for honest, and how often honest providers are
    struck."""
    check: int
    """A `Check`: the one that says most."""
    verdict: int
    """A `Verdict`."""
    tokens: Tokens
    """Output tokens that were compared."""
    evidence: int
    """For a cheat over an honest provider, a natural logarithm, in millionths, rounded down. A strike is at
    least what the scale says."""
    found_at: Milliseconds
