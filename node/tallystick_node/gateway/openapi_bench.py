"""The part of the OpenAPI document that is about judging duels."""

from typing import Final

from tallystick.protocol import errors as protocol
from tallystick.protocol.vote import Ballot, VoteCommitment
from tallystick_node.gateway.shapes import Json, kind_of, list_of, object_of, ref

MESSAGES: Final = (Ballot, VoteCommitment)
REFUSALS: Final = (protocol.Unjudgeable, protocol.ExhibitMismatch, protocol.NotDrawn)
"""Why a case is not judged."""
SEALED: Final = (protocol.MalformedMessage, protocol.BallotUnknown, protocol.BallotSealed)
"""Why a ballot is not shown."""


def schemas() -> Json:
    exhibit = {
        "offer": ref("Offer"),
        "receipt": ref("Receipt"),
        "signature": kind_of("bytes"),
        "payloads": {"type": "array", "items": {"type": "string"}},
    }
    case = {
        "challenger": kind_of("address"),
        "body": {"type": "string"},
        "first": ref("Exhibit"),
        "second": ref("Exhibit"),
        "hidden": kind_of("bytes32"),
        "appeal": {"type": "boolean"},
    }
    asked = {"duel": kind_of("bytes32"), "commitments": list_of("SignedVoteCommitment")}
    return {
        "Exhibit": object_of(exhibit, open_=True),
        "Case": object_of(case, open_=True),
        "CaseRequest": object_of({"model": {"type": "string"}, "case": ref("Case")}, open_=True),
        "BallotRequest": object_of(asked, open_=True),
        "ShownBallot": object_of({"ballot": ref("Ballot")}),
    }
