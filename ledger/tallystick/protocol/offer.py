"""A provider's standing promise to serve one model at one price.

It knows no stake and no channel. Whether it was withdrawn is the chain's to say.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from tallystick.protocol.message import Message
from tallystick.protocol.units import (
    Address,
    Atoms,
    AtomsPerMTok,
    Hash32,
    Milliseconds,
    Timestamp,
    Tokens,
)

ENDPOINT_LIMIT: Final = 256
"""Bytes of UTF-8, as the contract has it."""
MODEL_LIMIT: Final = 128
SALT_BITS: Final = 20
"""Of a sequence, under the milliseconds of the clock: a million signings in each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer(Message):
    """Signed with the provider's receipt key."""

    TYPE: ClassVar[str] = (
        "Offer(address provider,uint64 sequence,string endpoint,bytes32 endpointKey,string model,"
        "bytes32 modelHash,uint64 inputPrice,uint64 cachedInputPrice,uint64 outputPrice,"
        "uint32 contextLength,uint128 credit,uint64 validUntil)"
    )
    provider: Address
    """Whose stake backs the promise."""
    sequence: int
    """Grows with every offer of one provider, whatever the model. Signed for once: see `fresh_sequence`."""
    endpoint: str
    """Base URL of the gateway, without `/v1`."""
    endpoint_key: Hash32
    """SHA-256 of the gateway's TLS public key (DER SubjectPublicKeyInfo); zero: a public certificate."""
    model: str
    model_hash: Hash32
    """Commits to weights, precision, tokenizer and chat template; zero: no such commitment."""
    input_price: AtomsPerMTok
    cached_input_price: AtomsPerMTok
    output_price: AtomsPerMTok
    context_length: Tokens
    """Input and output together."""
    credit: Atoms
    """The most unacknowledged work extended to one payer account."""
    valid_until: Timestamp
    """First second at which the offer no longer holds."""


def fresh_sequence(*, latest: int, minimum: int, now: Milliseconds, salt: int) -> int:
    """One that no offer was signed with, so that the next can be.

    Two offers with one sequence are fraud, also where the first was never posted or nobody knows what became
    of it. What the chain says (`latest`, `minimum`) is therefore not enough: the signer's own clock, `now`,
    tells one signing from the next, and `salt`, so many random bits, one program from another that knows
    nothing of it.
    """
    assert 0 <= salt < 1 << SALT_BITS, salt
    return max(latest + 1, minimum, now << SALT_BITS) + salt
