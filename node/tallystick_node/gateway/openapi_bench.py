"""The part of the OpenAPI document that is about judging duels, and audits."""

from typing import Final

from tallystick.protocol import errors as protocol
from tallystick.protocol.finding import Finding
from tallystick.protocol.sample import PATHS, SAMPLE
from tallystick.protocol.viewing import Viewing
from tallystick.protocol.vote import Ballot, VoteCommitment
from tallystick.protocol.wire import BALLOTS_PATH, DOSSIERS_PATH
from tallystick_node.gateway.shapes import Json, kind_of, list_of, object_of, ref

MESSAGES: Final = (Ballot, VoteCommitment, Finding, Viewing)
REFUSALS: Final = (protocol.Unjudgeable, protocol.ExhibitMismatch, protocol.NotDrawn)
"""Why a case is not judged."""
UNAUDITED: Final = (
    protocol.DossierMismatch,
    protocol.DrawPending,
    protocol.ReceiptMismatch,
)
"""Why a dossier is not audited."""
SEALED: Final = (protocol.MalformedMessage, protocol.BallotUnknown, protocol.BallotSealed)
"""Why a ballot is not shown."""
UNSHOWN: Final = (
    protocol.MalformedMessage,
    protocol.CredentialExpired,
    protocol.MalformedSignature,
    protocol.WrongSigner,
    protocol.NotDrawn,
    protocol.DossierUnknown,
)
"""Why what a strike was found of is not shown."""
SHOWN: Final = (
    (
        *(BALLOTS_PATH, "The judge's ballot, once all have committed"),
        *("ShownBallot", "BallotRequest", SEALED),
    ),
    (
        *(DOSSIERS_PATH, "What a strike was found of, for who is drawn to re-audit it"),
        *("ShownDossier", "SignedViewing", UNSHOWN),
    ),
)
"""Path, what it is, its answer, its body, and why there is none."""


def schemas() -> Json:
    payload = {"anyOf": [{"type": "string"}, object_of({"bytes": kind_of("bytes")})]}
    exhibit = {
        "offer": ref("Offer"),
        "receipt": ref("Receipt"),
        "signature": kind_of("bytes"),
        "payloads": {"type": "array", "items": payload},
    }
    case = {
        "challenger": kind_of("address"),
        "body": {"type": "string"},
        "first": ref("Exhibit"),
        "second": ref("Exhibit"),
        "hidden": kind_of("bytes32"),
        "appeal": {"type": "boolean"},
    }
    sample = {
        "tallystick": {"type": "string", "const": SAMPLE},
        "path": {"type": "string", "enum": list(PATHS)},
        "body": {"type": "string"},
        "ids": {"type": "array", "minItems": 1, "items": {"type": "integer"}},
        "logprobs": {"type": "array", "items": {"type": "number"}},
        "offer": ref("Offer"),
        "receipt": ref("Receipt"),
        "signature": kind_of("bytes"),
    }
    dossier = {
        "receipts": list_of("SignedReceipt"),
        "samples": list_of("Sample"),
        "others": list_of("Offer"),
    }
    shown = {"finding": ref("Finding"), "signature": kind_of("bytes"), "dossier": ref("Dossier")}
    asked = {"duel": kind_of("bytes32"), "commitments": list_of("SignedVoteCommitment")}
    return {
        "Exhibit": object_of(exhibit, open_=True),
        "Case": object_of(case, open_=True),
        "CaseRequest": object_of({"model": {"type": "string"}, "case": ref("Case")}, open_=True),
        "Sample": object_of(sample, open_=True),
        "Dossier": object_of(dossier, open_=True),
        "DossierRequest": object_of({"model": {"type": "string"}, "dossier": ref("Dossier")}, open_=True),
        "BallotRequest": object_of(asked, open_=True),
        "ShownBallot": object_of({"ballot": ref("Ballot")}),
        "ShownDossier": object_of(shown),
    }
