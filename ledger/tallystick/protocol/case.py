"""What a judge is shown of a duel: the request, both answers, and who signed for them.

A case proves itself but for two things that the chain alone says: that the duel is open and this judge drawn
for it, and which keys sign for a provider. `checked` says all else. As JSON it is what `POST /v1/judge`
carries beside the model. It knows no engine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from tallystick.protocol.eip712 import Domain, digest, keccak
from tallystick.protocol.errors import ExhibitMismatch, MalformedMessage
from tallystick.protocol.judging import answer_of, question_of
from tallystick.protocol.message import read_value
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import WHOLE, Receipt
from tallystick.protocol.signed import Signed, recover
from tallystick.protocol.transcript import Transcript
from tallystick.protocol.units import Address, Hash32, to_hex
from tallystick.protocol.vote import Ballot, Choice, appeal_id, duel_commitment, duel_id
from tallystick.protocol.voucher import request_hash
from tallystick.protocol.wire import signed_from_json, signed_to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One duellist's answer, as its payer got it."""

    offer: Offer
    """Under which it was bought: it names the provider."""
    receipt: Signed[Receipt]
    """The last one of the answer: its response hash covers all of it."""
    payloads: tuple[bytes, ...] = field(repr=False)
    """In order, as `responseHash` chains them: what a provider sent, and nobody else's choice."""

    @property
    def provider(self) -> Address:
        return self.offer.provider

    def to_json(self) -> dict[str, Any]:
        said = [_payload_to_json(payload) for payload in self.payloads]
        return {"offer": self.offer.to_json(), **signed_to_json(self.receipt), "payloads": said}

    @classmethod
    def from_json(cls, data: object) -> "Exhibit":
        """Raises MalformedMessage."""
        if not isinstance(data, Mapping):
            raise MalformedMessage("An exhibit is an object.")
        payloads = data.get("payloads")
        if not isinstance(payloads, list):
            raise MalformedMessage("An exhibit's payloads are a list.")
        return cls(
            offer=Offer.from_json(data.get("offer")),
            receipt=signed_from_json(Receipt, data),
            payloads=tuple(_payload_from_json(item) for item in payloads),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One duel, as its challenger shows it to each of its judges."""

    challenger: Address
    body: bytes = field(repr=False)
    """The request's raw bytes, the same for both. UTF-8."""
    first: Exhibit
    second: Exhibit
    hidden: Hash32
    """`hidden_hash` of what the challenger knows of the verdict."""
    appeal: bool = False
    """It is before the judges of the duel's appeal."""

    @property
    def duel(self) -> Hash32:
        """What its judges sign for."""
        first, second = (one.receipt.message.struct_hash() for one in (self.first, self.second))
        duel = duel_id(self.challenger, duel_commitment(first, second, self.hidden))
        return appeal_id(duel) if self.appeal else duel

    @property
    def body_hash(self) -> Hash32:
        return keccak(self.body)

    def to_json(self) -> dict[str, Any]:
        return {
            "challenger": to_hex(self.challenger),
            "body": self.body.decode(),
            "first": self.first.to_json(),
            "second": self.second.to_json(),
            "hidden": to_hex(self.hidden),
            "appeal": self.appeal,
        }

    @classmethod
    def from_json(cls, data: object) -> "Case":
        """Raises MalformedMessage."""
        if not isinstance(data, Mapping):
            raise MalformedMessage("A case is an object.")
        body, appeal = data.get("body"), data.get("appeal", False)
        if not isinstance(body, str) or not isinstance(appeal, bool):
            raise MalformedMessage("A case's body is a text, and its appeal true or false.")
        return cls(
            challenger=read_value("address", data.get("challenger"), "case.challenger"),
            body=_bytes_of(body),
            first=Exhibit.from_json(data.get("first")),
            second=Exhibit.from_json(data.get("second")),
            hidden=read_value("bytes32", data.get("hidden"), "case.hidden"),
            appeal=appeal,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A case that is what it says. Made by `checked` alone."""

    case: Case
    duel: Hash32
    signers: tuple[Address, Address]
    """Of the first and the second receipt: whether they sign for those providers is on the chain."""
    question: str = field(repr=False)
    answers: tuple[str, str] = field(repr=False)

    def ballot(self, judge: Address, choice: Choice, salt: Hash32) -> Ballot:
        """Of what was judged, and nothing else."""
        return Ballot(
            duel=self.duel,
            judge=judge,
            body_hash=self.case.body_hash,
            first_response_hash=self.case.first.receipt.message.response_hash,
            second_response_hash=self.case.second.receipt.message.response_hash,
            choice=int(choice),
            salt=salt,
        )


def checked(case: Case, domain: Domain) -> Checked:
    """The case, once its receipts are found to be of its request, its offers and its answers.

    Raises
    ------
    ExhibitMismatch :
        One is not, or both answers are one provider's, or one broke off.
    MalformedSignature :
        A receipt is signed by nobody.
    Unjudgeable :
        Request or answers are not texts.
    """
    if case.first.provider == case.second.provider:
        raise ExhibitMismatch("Both answers are one provider's.", actual=to_hex(case.first.provider))
    first, second = (_signer(one, case, domain) for one in (case.first, case.second))
    question, answers = texts_of(case)
    return Checked(case=case, duel=case.duel, signers=(first, second), question=question, answers=answers)


def texts_of(case: Case) -> tuple[str, tuple[str, str]]:
    """The question, and both answers. Raises Unjudgeable or MalformedMessage."""
    body = read_body(case.body)
    first, second = (answer_of(body, one.payloads) for one in (case.first, case.second))
    return question_of(body), (first, second)


def read_body(body: bytes) -> Mapping[str, Any]:
    """A request's fields; raises MalformedMessage."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedMessage("The request's body is not JSON.") from error
    if not isinstance(fields, dict):
        raise MalformedMessage("The request's body is not a JSON object.")
    return fields


def response_hash(requested: Hash32, payloads: Sequence[bytes]) -> Hash32:
    """Of an answer that has all of these payloads."""
    transcript = Transcript(requested)
    for payload in payloads:
        transcript.add_payload(payload)
    return transcript.response_hash


def _signer(exhibit: Exhibit, case: Case, domain: Domain) -> Address:
    receipt, offer_hash = exhibit.receipt.message, exhibit.offer.struct_hash()
    requested = request_hash(offer_hash, case.body)
    for name, required, actual in (
        ("offer", offer_hash, receipt.offer_hash),
        ("request", requested, receipt.request_hash),
        ("answer", response_hash(requested, exhibit.payloads), receipt.response_hash),
    ):
        if required != actual:
            raise ExhibitMismatch(
                f"The receipt is not of the {name} that it is shown with.",
                required=to_hex(required),
                actual=to_hex(actual),
            )
    if receipt.finish not in WHOLE:
        raise ExhibitMismatch("The answer broke off.", actual=receipt.finish)
    return recover(digest(domain, receipt.struct_hash()), exhibit.receipt.signature)


def _payload_to_json(payload: bytes) -> str | dict[str, str]:
    """Bytes that are no UTF-8 keep no answer from being judged."""
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return {"bytes": to_hex(payload)}


def _payload_from_json(item: object) -> bytes:
    if isinstance(item, str):
        return _bytes_of(item)
    if not isinstance(item, Mapping):
        raise MalformedMessage("An exhibit's payload is a text, or its bytes.")
    payload: bytes = read_value("bytes", item.get("bytes"), "payload.bytes")
    return payload


def _bytes_of(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise MalformedMessage("A text with half a surrogate pair has no UTF-8.") from error
