"""What a party publishes of its half, as JSON: one receipt with its proof, or all of a channel.

A document proves nothing by being one: `audit` and `reconcile` say what does. Nothing of a request's or an
answer's words is in it. docs/spec.md, section 7, is normative.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tallystick.protocol.acknowledgements import largest_of
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.merkle import Forest
from tallystick.protocol.message import read_value
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Atoms, Hash32, to_hex
from tallystick.protocol.voucher import Acknowledgement, Voucher
from tallystick.protocol.wire import signed_from_json, signed_to_json

RECEIPT: Final = "receipt/1"
CHANNEL: Final = "channel/1"
"""Kind and version, the value of a document's member `tallystick`."""
PROOF_LIMIT: Final = 128
"""Hashes: a tree and the peaks beside it over 2⁶⁴ receipts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """The rest of a voucher whose acknowledgement stands beside it: the session key's word for that."""

    cumulative_amount: Atoms
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptDocument:
    """One receipt, and that the payer acknowledged it."""

    signed: Signed[Receipt]
    domain: Domain | None = None
    """The market that it is of; None: it does not say."""
    acknowledgement: Acknowledgement | None = None
    """What was settled, or may be."""
    proof: Sequence[Hash32] = ()
    """From the receipt to the acknowledgement's root."""
    voucher: Vouched | None = None
    """Of the acknowledgement. Needed where a close paid, which carries none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelDocument:
    """Receipts of one channel in sequence order, and acknowledgements that its payer gave."""

    domain: Domain
    channel: ChannelKey
    receipts: Sequence[Signed[Receipt]]
    acknowledgements: Sequence[Acknowledgement]
    voucher: Signed[Voucher] | None = None
    """The largest."""
    following: int | None = None
    """The sequence from which the next page goes on; None: this is the last."""


Document = ReceiptDocument | ChannelDocument


def document_to_json(document: Document) -> dict[str, Any]:
    """What files hold and what is published."""
    match document:
        case ReceiptDocument():
            data: dict[str, Any] = {"tallystick": RECEIPT}
            if document.domain is not None:
                data |= _domain_to_json(document.domain)
            data |= signed_to_json(document.signed)
            if document.acknowledgement is not None:
                data["acknowledgement"] = document.acknowledgement.to_json()
                data["proof"] = [to_hex(item) for item in document.proof]
            if (voucher := document.voucher) is not None:
                amount, signature = str(voucher.cumulative_amount), to_hex(voucher.signature)
                data["voucher"] = {"cumulativeAmount": amount, "signature": signature}
            return data
        case ChannelDocument():
            return channel_to_json(document, [signed_to_json(item) for item in document.receipts])


def channel_to_json(document: ChannelDocument, receipts: Sequence[Any]) -> dict[str, Any]:
    """The same, of receipts that are JSON already: whoever keeps them so need not read them."""
    data: dict[str, Any] = {"tallystick": CHANNEL, **_domain_to_json(document.domain)}
    data["channel"] = document.channel.to_json()
    data["receipts"] = receipts
    data["acknowledgements"] = [item.to_json() for item in document.acknowledgements]
    if document.voucher is not None:
        data["voucher"] = signed_to_json(document.voucher)
    if document.following is not None:
        data["following"] = str(document.following)
    return data


def document_from_json(data: object) -> Document:
    """What `document_to_json` wrote, or a signed receipt by itself, as the wire has it.

    Raises
    ------
    MalformedMessage :
        A member is missing, of another type or out of range, or the document is of another kind or version.
    """
    if not isinstance(data, Mapping):
        raise MalformedMessage("A document is an object.")
    kind = data.get("tallystick", RECEIPT)
    if kind == RECEIPT:
        return _receipt_from_json(data)
    if kind == CHANNEL:
        return _channel_from_json(data)
    raise MalformedMessage(
        "The document is of no kind that is known here.",
        required=f"{RECEIPT}, {CHANNEL}",
        actual=str(kind)[:40],
    )


def documents_from_json(data: object) -> list[Document]:
    """One document, or a list of them. Raises MalformedMessage."""
    return [document_from_json(item) for item in (data if isinstance(data, list) else [data])]


def _receipt_from_json(data: Mapping[str, Any]) -> ReceiptDocument:
    acknowledgement = data.get("acknowledgement")
    proof = data.get("proof", [])
    if not isinstance(proof, list) or len(proof) > PROOF_LIMIT:
        raise MalformedMessage(f"proof is a list of at most {PROOF_LIMIT} hashes.", required=PROOF_LIMIT)
    return ReceiptDocument(
        signed=signed_from_json(Receipt, data),
        domain=_domain_from_json(data) if "chainId" in data or "market" in data else None,
        acknowledgement=None if acknowledgement is None else Acknowledgement.from_json(acknowledgement),
        proof=tuple(read_value("bytes32", item, "proof") for item in proof),
        voucher=_vouched_from_json(data.get("voucher"), acknowledgement),
    )


def _vouched_from_json(data: object, acknowledgement: object) -> Vouched | None:
    if data is None:
        return None
    if not isinstance(data, Mapping) or acknowledgement is None:
        raise MalformedMessage("voucher is an object, beside an acknowledgement.")
    return Vouched(
        cumulative_amount=read_value("uint128", data.get("cumulativeAmount"), "cumulativeAmount"),
        signature=read_value("bytes", data.get("signature"), "voucher.signature"),
    )


def _channel_from_json(data: Mapping[str, Any]) -> ChannelDocument:
    receipts, acknowledgements = data.get("receipts"), data.get("acknowledgements")
    if not isinstance(receipts, list) or not isinstance(acknowledgements, list):
        raise MalformedMessage("receipts and acknowledgements are lists.")
    following, voucher = data.get("following"), data.get("voucher")
    return ChannelDocument(
        domain=_domain_from_json(data),
        channel=ChannelKey.from_json(data.get("channel")),
        receipts=[signed_from_json(Receipt, item) for item in receipts],
        acknowledgements=[Acknowledgement.from_json(item) for item in acknowledgements],
        voucher=None if voucher is None else signed_from_json(Voucher, voucher),
        following=None if following is None else read_value("uint64", following, "following"),
    )


def _domain_to_json(domain: Domain) -> dict[str, str]:
    return {"chainId": str(domain.chain_id), "market": to_hex(domain.contract)}


def _domain_from_json(data: Mapping[str, Any]) -> Domain:
    return Domain(
        chain_id=read_value("uint256", data.get("chainId"), "chainId"),
        contract=read_value("address", data.get("market"), "market"),
    )


def proofs(
    domain: Domain,
    receipts: Sequence[Signed[Receipt]],
    settled: Iterable[Acknowledgement],
    voucher: Signed[Voucher] | None = None,
) -> list[ReceiptDocument]:
    """Of one channel's receipts in sequence order, from its first on: a document each. Proven under the
    largest acknowledgement of theirs that was settled, else under the voucher, else without a proof."""
    hashes = [item.message.struct_hash() for item in receipts]
    found: dict[int, ReceiptDocument] = {}
    held = [] if voucher is None else [voucher.message.acknowledgement]
    for candidates, signed in ((settled, None), (held, voucher)):
        covering = largest_of(hashes, candidates)
        if covering is None:
            continue
        forest = Forest(hashes[: covering.receipt_count])
        for place in range(len(found), covering.receipt_count):
            found[place] = ReceiptDocument(
                signed=receipts[place],
                domain=domain,
                acknowledgement=covering,
                proof=tuple(forest.prove(place)),
                voucher=None if signed is None else _vouched(signed),
            )
    rest = [ReceiptDocument(signed=item, domain=domain) for item in receipts[len(found) :]]
    return [*found.values(), *rest]


def _vouched(voucher: Signed[Voucher]) -> Vouched:
    return Vouched(cumulative_amount=voucher.message.cumulative_amount, signature=voucher.signature)
