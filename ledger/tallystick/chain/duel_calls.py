"""What a call to the duels' contract showed: the case with both receipts, votes, ballots. The inverse of what
`Duels` sends. It asks no node.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from tallystick.chain import contracts
from tallystick.chain.abi import AbiError
from tallystick.chain.duels import Answer, Case, CastVote, Committed, Revealed
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Hash32
from tallystick.protocol.vote import Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class DuelCall:
    """One that concerns one duel. What its function does not take is empty."""

    name: str
    case: Case | None = None
    known: Choice = Choice.NONE
    salt: Hash32 | None = None
    """With `known` it hashes to what the case hides."""
    votes: tuple[CastVote, ...] = ()
    commitments: tuple[Committed, ...] = ()
    reveals: tuple[Revealed, ...] = ()


def duel_call(data: bytes) -> DuelCall | None:
    """None: no such call, or not as the ABI has it."""
    try:
        called = contracts.duels().interface.calldata(data)
        if called is None or called[0] not in ("decide", "decideAppeal", "summon", "commit", "reveal"):
            return None
        return _read(*called)
    except (AbiError, ValueError):  # A choice may be a number that is none.
        return None


def _read(name: str, given: Mapping[str, Any]) -> DuelCall:
    return DuelCall(
        name=name,
        case=_case(given["shown"]) if "shown" in given else None,
        known=Choice(given.get("known", 0)),
        salt=given.get("salt"),
        votes=tuple(
            CastVote(choice=Choice(vote["choice"]), salt=vote["salt"], signature=vote["signature"])
            for vote in given.get("votes", ())
        ),
        commitments=tuple(
            Committed(judge=one["judge"], ballot_hash=one["ballotHash"], signature=one["signature"])
            for one in given.get("commitments", ())
        ),
        reveals=tuple(
            Revealed(judge=one["judge"], choice=Choice(one["choice"]), salt=one["salt"])
            for one in given.get("reveals", ())
        ),
    )


def _case(shown: Mapping[str, Any]) -> Case:
    return Case(
        first=_answer(shown["first"]),
        second=_answer(shown["second"]),
        body_hash=shown["bodyHash"],
        hidden=shown["hidden"],
    )


def _answer(answer: Mapping[str, Any]) -> Answer:
    return Answer(
        provider=answer["provider"],
        session_key=answer["sessionKey"],
        epoch=answer["epoch"],
        receipt=Signed(_receipt(list(answer["receipt"].values())), answer["signature"]),
    )


def _receipt(values: Sequence[Any]) -> Receipt:
    """The contract's struct has the fields of the type string, in its order."""
    names = (field.name for field in fields(Receipt))
    return Receipt(**dict(zip(names, values, strict=True)))
