"""Hearsay as JSON: what nodes tell payers, and payers nodes. It checks no signature."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.gossip import Frame
from tallystick.protocol.hearsay import Said
from tallystick.protocol.message import Message, read_value
from tallystick.protocol.packed import pack
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.status import Rating, Status, Suspicion
from tallystick.protocol.wire import signed_from_json, signed_to_json

TOLD_LIMIT: Final = 1 << 20
"""Bytes of one answer: who tells more is not read."""
KINDS: Final[Mapping[str, type[Status] | type[Suspicion] | type[Rating]]] = {
    "statuses": Status,
    "suspicions": Suspicion,
    "ratings": Rating,
}


def said_to_json(said: Said) -> dict[str, Any]:
    """A signed message, and of a rating its signed receipt as `evidence`."""
    if said.receipt is not None:
        return rating_to_json(said.proof.signed, said.receipt.signed)
    return signed_to_json(said.proof.signed)


def rating_to_json(rating: Signed[Message], receipt: Signed[Receipt]) -> dict[str, Any]:
    """A rating beside the receipt that lets it count."""
    return signed_to_json(rating) | {"evidence": signed_to_json(receipt)}


def read_said(kind: type[Status] | type[Suspicion] | type[Rating], data: object) -> Frame:
    """What `said_to_json` wrote; raises MalformedMessage."""
    signed = signed_from_json(kind, data)
    assert isinstance(data, Mapping)
    receipt: Signed[Receipt] | None = None
    if kind is Rating:
        receipt = signed_from_json(Receipt, data.get("evidence"))
    for signature in (signed.signature, receipt.signature if receipt else signed.signature):
        if len(signature) != 65:
            raise MalformedMessage("Signatures have 65 bytes here.", required=65, actual=len(signature))
    try:
        return Frame(signed.message, pack(signed.message), signed.signature, receipt)
    except ValueError as error:
        raise MalformedMessage("A text is too long.") from error


def read_told(data: object) -> tuple[int, Iterator[tuple[Frame, int]]]:
    """Of what a node tells: how many statuses it knows in all, and its messages one by one, each with the
    milliseconds since the node heard it. Raises MalformedMessage, and so does the iterator."""
    if not isinstance(data, Mapping):
        raise MalformedMessage("What a node tells is an object.")
    return read_value("uint32", data.get("known"), "known"), _frames(data)


def _frames(data: Mapping[str, Any]) -> Iterator[tuple[Frame, int]]:
    for name, kind in KINDS.items():
        items = data.get(name)
        if not isinstance(items, list):
            raise MalformedMessage(f"{name} is a list.")
        for item in items:
            if not isinstance(item, Mapping):
                raise MalformedMessage(f"{name} has objects.")
            yield read_said(kind, item.get("said")), read_value("uint64", item.get("ageMs"), "ageMs")
