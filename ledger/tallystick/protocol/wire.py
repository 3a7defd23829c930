"""How signed messages travel over HTTP: headers, comment lines, JSON.

The framing is that of the "Payment" HTTP authentication scheme (draft-ietf-httpauth-payment), with the method
name `tallystick`. The challenge that a credential answers is the posted offer itself: its hash is the
challenge's id, so that no 402 round trip is needed. It opens no socket and checks no signature.
"""

from base64 import urlsafe_b64encode
from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from tallystick.protocol.errors import CredentialTooLarge, MalformedCredential, MalformedMessage
from tallystick.protocol.grant import Grant
from tallystick.protocol.message import Message, read_value
from tallystick.protocol.quote import Quote
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import ZERO_HASH, Atoms, ChannelId, Hash32, Timestamp, to_hex
from tallystick.protocol.voucher import Voucher

M = TypeVar("M", bound=Message)

METHOD: Final = "tallystick"
AUTHORIZATION: Final = "Authorization"
CHALLENGE: Final = "WWW-Authenticate"
RECEIPT: Final = "Payment-Receipt"
RECEIPT_COMMENT: Final = b": payment-receipt "
"""Begins the SSE comment line that carries a receipt; OpenAI clients ignore it."""
CREDENTIAL_LIMIT: Final = 8192
"""Characters of the whole header value."""

JUDGE_PATH: Final = "/v1/judge"
AUDIT_PATH: Final = "/v1/audit"
BALLOTS_PATH: Final = "/tallystick/v1/ballots"
DOSSIERS_PATH: Final = "/tallystick/v1/dossiers"
VOUCHERS_PATH: Final = "/tallystick/v1/vouchers"
RESYNC_PATH: Final = "/tallystick/v1/resync"
RESTORE_PATH: Final = "/tallystick/v1/restore"
CLOSE_PATH: Final = "/tallystick/v1/close"
OFFERS_PATH: Final = "/tallystick/v1/offers"
RECEIPTS_PATH: Final = "/.well-known/tallystick/receipts"
"""Followed by a channel's id: what its provider holds of it, for its payer."""
QUOTES_PATH: Final = "/tallystick/v1/quotes"
GOSSIP_PATH: Final = "/tallystick/v1/gossip"
NETWORK_PATH: Final = "/tallystick/v1/network"
RATINGS_PATH: Final = "/tallystick/v1/ratings"
GOSSIP: Final = "Tallystick-Gossip"
"""On a message between nodes, and on its answer: the envelope that its sender signed."""
EXPECT: Final = "Tallystick-Expect"
"""On a request: the pace that the payer expects, or the quote that it redeems."""
QUOTE: Final = "Tallystick-Quote"
"""On an answer: the promise under which it was accepted."""
READING_LIFE_S: Final = 300
"""How far ahead the end of a credential that reads may lie, by the clock of whoever is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What `Authorization: Payment …` says. Nothing of it is proven yet."""

    voucher: Signed[Voucher]
    offer_hash: Hash32 = ZERO_HASH
    """The offer that the request is paid under; zero on a bare voucher."""
    grant: Signed[Grant] | None = None
    """Opens the channel, or raises its cap, where the chain has not seen it yet."""
    fetch: bool = False
    """Only an answer that was begun under this nonce: never new work."""


def authorization(credential: Credential) -> str:
    """The header's value."""
    payload: dict[str, Any] = signed_to_json(credential.voucher)
    if credential.grant is not None:
        payload["grant"] = signed_to_json(credential.grant)
    if credential.fetch:
        payload["fetch"] = True
    challenge = {"id": to_hex(credential.offer_hash), "realm": METHOD, "method": METHOD}
    return "Payment " + _b64(
        {"challenge": challenge | {"intent": "session", "request": ""}, "payload": payload}
    )


def read_authorization(header: str) -> Credential:
    """What `authorization` wrote.

    Raises
    ------
    CredentialTooLarge :
        Longer than `CREDENTIAL_LIMIT`.
    MalformedCredential :
        Not this scheme, this method, base64url or this JSON.
    MalformedMessage :
        A message in it has a wrong field.
    """
    if len(header) > CREDENTIAL_LIMIT:
        raise CredentialTooLarge(
            "The payment header is too long.", required=CREDENTIAL_LIMIT, actual=len(header)
        )
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "payment":
        raise MalformedCredential("The Authorization scheme is not Payment.", required="Payment")
    data = _unb64(text.strip())
    challenge, payload = data.get("challenge"), data.get("payload")
    if not isinstance(challenge, dict) or challenge.get("method") != METHOD or not isinstance(payload, dict):
        raise MalformedCredential("The credential is not for the method tallystick.", required=METHOD)
    grant = payload.get("grant")
    return Credential(
        voucher=signed_from_json(Voucher, payload),
        offer_hash=read_value("bytes32", challenge.get("id"), "challenge.id"),
        grant=None if grant is None else signed_from_json(Grant, grant),
        fetch=payload.get("fetch") is True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a 402 says would be accepted."""

    offer_hash: Hash32
    credit: Atoms
    owed: Atoms
    """Delivered and not acknowledged, over all of the account's channels."""
    reserved: Atoms
    """Held for requests that are running."""
    required: Atoms
    """A voucher of this cumulative amount would do; what the channel is owed where none would yet."""
    receipt_count: int
    """Receipts issued on this channel."""
    cap: Atoms
    """A cap that would do: raise it by a grant."""

    def to_json(self) -> dict[str, str]:
        return {
            "offerHash": to_hex(self.offer_hash),
            "credit": str(self.credit),
            "owed": str(self.owed),
            "reserved": str(self.reserved),
            "required": str(self.required),
            "receiptCount": str(self.receipt_count),
            "cap": str(self.cap),
        }

    @classmethod
    def from_json(cls, data: object) -> "Terms":
        """Raises MalformedMessage."""
        if not isinstance(data, Mapping):
            raise MalformedMessage("Terms are an object.")
        return cls(
            offer_hash=read_value("bytes32", data.get("offerHash"), "offerHash"),
            credit=read_value("uint128", data.get("credit"), "credit"),
            owed=read_value("uint128", data.get("owed"), "owed"),
            reserved=read_value("uint128", data.get("reserved"), "reserved"),
            required=read_value("uint128", data.get("required"), "required"),
            receipt_count=read_value("uint64", data.get("receiptCount"), "receiptCount"),
            cap=read_value("uint128", data.get("cap"), "cap"),
        )


def reading(channel_id: ChannelId, start: int, until: Timestamp) -> bytes:
    """The request that a credential to read a channel's receipts is for: it is good for this page, at this
    channel's provider, up to this second."""
    return f"GET {RECEIPTS_PATH}/{to_hex(channel_id)}?from={start}&until={until}".encode()


def challenge(terms: Terms) -> str:
    """The value of `WWW-Authenticate` on a 402."""
    parts = {"id": to_hex(terms.offer_hash), "realm": METHOD, "method": METHOD, "intent": "session"}
    quoted = "".join(f'{name}="{value}", ' for name, value in parts.items())
    return f'Payment {quoted}request="{_b64(terms.to_json())}"'


def receipt_text(receipt: Signed[Receipt]) -> str:
    """The value of `Payment-Receipt`, and what follows `RECEIPT_COMMENT`."""
    return _b64(
        signed_to_json(receipt) | {"method": METHOD, "reference": to_hex(receipt.message.struct_hash())}
    )


def read_text(text: str) -> bytes:
    """The JSON in a header's text, not read any further. Raises MalformedCredential."""
    try:
        padded = (text + "=" * (-len(text) % 4)).encode("ascii").translate(_TO_STANDARD)
        return a2b_base64(padded, strict_mode=True)
    except ValueError as error:
        raise MalformedCredential("Not base64url.") from error


def read_receipt_text(text: str) -> Signed[Receipt]:
    """Raises CredentialTooLarge, MalformedCredential or MalformedMessage, as `read_authorization` does."""
    if len(text) > CREDENTIAL_LIMIT:
        raise CredentialTooLarge("The receipt is too long.", required=CREDENTIAL_LIMIT, actual=len(text))
    return signed_from_json(Receipt, _unb64(text.strip()))


def quote_text(quote: Signed[Quote]) -> str:
    """The value of `Tallystick-Quote`."""
    return write_envelope(quote)


def read_quote_text(text: str) -> Signed[Quote]:
    """As `read_envelope` does."""
    return read_envelope(text, Quote)


def write_envelope(signed: Signed[Message]) -> str:
    """The value of a header that is one signed message."""
    return _b64(signed_to_json(signed))


def read_envelope(text: str, kind: type[M]) -> Signed[M]:
    """What `write_envelope` wrote. Raises CredentialTooLarge, MalformedCredential or MalformedMessage."""
    if len(text) > CREDENTIAL_LIMIT:
        raise CredentialTooLarge("The header is too long.", required=CREDENTIAL_LIMIT, actual=len(text))
    return signed_from_json(kind, _unb64(text.strip()))


def signed_to_json(signed: Signed[Message]) -> dict[str, Any]:
    """`{"<type>": {…}, "signature": "0x…"}`: what files hold and what the wire carries."""
    message = signed.message
    return {type(message).__name__.lower(): message.to_json(), "signature": to_hex(signed.signature)}


def signed_from_json(kind: type[M], data: object) -> Signed[M]:
    """What `signed_to_json` wrote; other members are ignored. Raises MalformedMessage."""
    if not isinstance(data, Mapping):
        raise MalformedMessage(f"A signed {kind.__name__} is an object.")
    signature: bytes = read_value("bytes", data.get("signature"), "signature")
    return Signed(kind.from_json(data.get(kind.__name__.lower())), signature)


def _b64(data: Mapping[str, Any]) -> str:
    return urlsafe_b64encode(orjson.dumps(data)).rstrip(b"=").decode()


_TO_STANDARD: Final = bytes.maketrans(b"-_+/", b"+/!!")
"""From base64url to the alphabet that `binascii` is strict about, in which "!" is not."""


def _unb64(text: str) -> dict[str, Any]:
    try:
        data = orjson.loads(read_text(text))
    except ValueError as error:
        raise MalformedCredential("Not base64url of JSON.") from error
    if not isinstance(data, dict):
        raise MalformedCredential("Not a JSON object.")
    return data
