"""What a duel is called, and a judge's word on it: first a commitment, then the ballot itself.

Commitments are signed with a receipt key of the judge's, in the market's domain; a ballot needs no signature,
since the commitment binds it. `contracts/src/libraries/Votes.sol` has the same. It knows no prompt, no engine
and no money.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final

from tallystick.protocol.duel import Vote
from tallystick.protocol.eip712 import keccak, named
from tallystick.protocol.message import Message
from tallystick.protocol.units import Address, Hash32


class Choice(IntEnum):
    """As the contract writes it."""

    NONE = 0
    """Nothing, in time. As the known verdict of a case: there is none."""
    FIRST = 1
    SECOND = 2
    TIE = 3
    DECLINED = 4
    """The case was never delivered: no vote, and no blame. On no ballot."""


_CHOICES: Final = {
    Vote.FIRST: Choice.FIRST,
    Vote.SECOND: Choice.SECOND,
    Vote.TIE: Choice.TIE,
    Vote.SILENT: Choice.NONE,
    Vote.DECLINED: Choice.DECLINED,
}
_VOTES: Final = {choice: vote for vote, choice in _CHOICES.items()}


def choice_of(vote: Vote) -> Choice:
    return _CHOICES[vote]


def vote_of_choice(choice: Choice) -> Vote:
    return _VOTES[choice]


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteCommitment(Message):
    """Binds a judge to a ballot that nobody can read yet."""

    TYPE: ClassVar[str] = "VoteCommitment(bytes32 duel,address judge,bytes32 ballotHash)"
    duel: Hash32
    judge: Address
    """The provider that was drawn: two may name one key."""
    ballot_hash: Hash32
    """Struct hash of its ballot; zero: it declines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot(Message):
    """What a judge found, of exactly these answers to exactly this body."""

    TYPE: ClassVar[str] = (
        "Ballot(bytes32 duel,address judge,bytes32 bodyHash,bytes32 firstResponseHash,"
        "bytes32 secondResponseHash,uint8 choice,bytes32 salt)"
    )
    duel: Hash32
    judge: Address
    """In here too, or a lazy judge would commit to another's ballot and reveal what that one reveals."""
    body_hash: Hash32
    """keccak of the request's raw body."""
    first_response_hash: Hash32
    second_response_hash: Hash32
    choice: int
    """A `Choice`: first, second or tie."""
    salt: Hash32
    """Known to the judge alone until it reveals: a ballot of three choices could be guessed."""

    @property
    def commitment(self) -> VoteCommitment:
        return VoteCommitment(duel=self.duel, judge=self.judge, ballot_hash=self.struct_hash())


# --------------------------------------------------------------------------------------------- names of duels


def hidden_hash(known: Choice, salt: Hash32) -> Hash32:
    """Of the verdict that the challenger knows, if it does. Judges see this alone, and cannot tell
    whether."""
    return keccak(known.to_bytes(32, "big") + salt)


def duel_commitment(first_receipt: Hash32, second_receipt: Hash32, hidden: Hash32) -> Hash32:
    """What a challenger opens a duel with: struct hashes of both receipts, and `hidden_hash`."""
    return keccak(first_receipt + second_receipt + hidden)


def duel_id(challenger: Address, commitment: Hash32) -> Hash32:
    return keccak(challenger.rjust(32, b"\0") + commitment)


def appeal_id(duel: Hash32) -> Hash32:
    """What the judges of its appeal sign for."""
    return named(b"appeal", duel)
