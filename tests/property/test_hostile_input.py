"""Whatever a peer sends, a decoder gives a message that can be used, or raises a MarketError."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from copy import deepcopy
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tallystick.protocol.errors import (
    CredentialTooLarge,
    MalformedCredential,
    MalformedMessage,
    MarketError,
)
from tallystick.protocol.grant import Grant
from tallystick.protocol.offer import Offer
from tallystick.protocol.quote import Quote
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.status import Rating, Status, Suspicion
from tallystick.protocol.transcript import Transcript
from tallystick.protocol.units import ZERO_HASH
from tallystick.protocol.voucher import Acknowledgement, Close, Voucher
from tallystick.protocol.wire import (
    CREDENTIAL_LIMIT,
    Credential,
    Terms,
    authorization,
    read_authorization,
    read_receipt_text,
    receipt_text,
    signed_from_json,
    signed_to_json,
)

MESSAGES = (Offer, Grant, Receipt, Acknowledgement, Voucher, Close, Status, Suspicion, Rating, Quote)

any_text = st.text(st.characters(), max_size=40)  # lone surrogates too
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)
NEAR_MISSES = [
    *("", " ", "0", "-0", "-1", "+1", "01", "1_0", "1.0", "1e3", " 1", "1\n", "٣", "²", "0x1"),
    *("0x", "0X" + "00" * 32, "0x" + "00" * 31, "0x" + "00" * 33, "0x" + "g" * 64, "00" * 33),
    *("0x" + "ab " * 20 + "abab", "0x" + " " * 64, "0x" + "00 " * 12 + "0000", "0x" + "０" * 64),
    *("9" * 5_000, "0x" + "00" * 5_000, "\ud800", "\udfff", "\x00", "\U0010ffff", "e\u0301"),
    *(0, 1, -1, 2**53, 2**64, 2**128, 10**400, 1.5, float("nan"), float("inf"), True, None, [], {}),
]
"""What looks right at first sight, or breaks what is used on it later."""


def spoilt(valid):
    """A true message in which one thing, at any depth, is another, gone or added."""

    @st.composite
    def strategy(draw):
        data = deepcopy(draw(valid))
        inner = data
        while True:
            name = draw(st.sampled_from(sorted(inner)))
            if not isinstance(inner[name], dict) or draw(st.booleans()):
                break
            inner = inner[name]
        match draw(st.sampled_from(["change", "drop", "add", "rename"])):
            case "change":
                inner[name] = draw(st.sampled_from(NEAR_MISSES) | any_json)
            case "drop":
                del inner[name]
            case "add":
                inner[draw(any_text)] = draw(any_json)
            case "rename":
                inner[name.upper()] = inner.pop(name)
        return data

    return strategy()


def nested(depth):
    data = {}
    for _ in range(depth):
        data = {"acknowledgement": [data]}
    return data


def base64url(raw):
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


signed_receipts = st.builds(Signed, st.from_type(Receipt), st.binary(min_size=64, max_size=65))
credentials = st.builds(
    Credential,
    voucher=st.builds(Signed, st.from_type(Voucher), st.binary(min_size=64, max_size=65)),
    offer_hash=st.binary(min_size=32, max_size=32),
    grant=st.none() | st.builds(Signed, st.from_type(Grant), st.binary(max_size=65)),
)


def credential_json(credential):
    text = authorization(credential).removeprefix("Payment ")
    return json.loads(base64url_decoded(text))


def base64url_decoded(text):
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def usable(message):
    """What a decoder let through can be hashed and written, and reads back as itself."""
    assert len(message.struct_hash()) == 32
    assert type(message).from_json(message.to_json()) == message


# ---------------------------------------------------------------------------------------------------- JSON


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_messages_are_read_whole_or_refused(kind):
    @given(any_json | spoilt(st.from_type(kind).map(lambda message: message.to_json())))
    @example(nested(50))
    def holds(data):
        try:
            message = kind.from_json(data)
        except MalformedMessage:
            return
        usable(message)

    holds()


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_a_near_miss_in_any_field_is_refused_or_harmless(kind):
    @settings(max_examples=5)
    @given(st.from_type(kind))
    def holds(message):
        fields = message.to_json()
        for name, value in product(fields, NEAR_MISSES):
            try:
                read = kind.from_json(fields | {name: value})
            except MalformedMessage:
                continue
            usable(read)

    holds()


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_signed_messages_are_read_whole_or_refused(kind):
    def written(message):
        return signed_to_json(Signed(message, bytes(65)))

    @given(any_json | spoilt(st.from_type(kind).map(written)))
    def holds(data):
        try:
            signed = signed_from_json(kind, data)
        except MalformedMessage:
            return
        usable(signed.message)
        assert isinstance(signed.signature, bytes)

    holds()


@given(any_json | spoilt(st.from_type(Terms).map(Terms.to_json)))
def test_terms_are_read_whole_or_refused(data):
    try:
        terms = Terms.from_json(data)
    except MalformedMessage:
        return
    assert Terms.from_json(terms.to_json()) == terms


@given(any_json)
def test_a_transcript_takes_any_json(data):
    transcript = Transcript(ZERO_HASH)

    transcript.add_counts(data)

    assert transcript.output_tokens >= 0


# ---------------------------------------------------------------------------------------------------- headers


@given(any_text | any_text.map("Payment ".__add__))
def test_any_header_is_a_credential_or_a_market_error(header):
    with pytest.raises(MarketError):
        read_authorization(header)


@given(
    st.binary(max_size=200).map(base64url) | any_json.map(lambda data: base64url(json.dumps(data).encode()))
)
def test_any_base64url_is_a_credential_or_a_market_error(text):
    with pytest.raises(MarketError):
        read_authorization("Payment " + text)
    with pytest.raises(MarketError):
        read_receipt_text(text)


@given(spoilt(credentials.map(credential_json)))
def test_a_spoilt_credential_is_usable_or_a_market_error(data):
    try:
        credential = read_authorization("Payment " + base64url(json.dumps(data).encode()))
    except MarketError:
        return
    usable(credential.voucher.message)
    if credential.grant is not None:
        usable(credential.grant.message)
    assert len(credential.offer_hash) == 32


@given(spoilt(signed_receipts.map(receipt_text).map(base64url_decoded).map(json.loads)))
def test_a_spoilt_receipt_is_usable_or_a_market_error(data):
    try:
        receipt = read_receipt_text(base64url(json.dumps(data).encode()))
    except MarketError:
        return
    usable(receipt.message)


@given(credentials, st.data())
def test_a_header_with_one_character_changed_is_usable_or_a_market_error(credential, data):
    header = authorization(credential)
    at = data.draw(st.integers(0, len(header) - 1))
    changed = header[:at] + data.draw(st.characters()) + header[at + 1 :]
    try:
        usable(read_authorization(changed).voucher.message)
    except MarketError:
        return


@given(credentials, st.sampled_from("!+/ =\n\t.\x00é"), st.data())
def test_what_is_not_base64url_is_not_skipped(credential, stranger, data):
    text = authorization(credential).removeprefix("Payment ")
    at = data.draw(st.integers(1, len(text) - 1))

    with pytest.raises(MarketError):
        read_authorization("Payment " + text[:at] + stranger + text[at:])


HOSTILE_JSON = {
    "deeply nested lists": b"[" * 6_000,
    "deeply nested objects": b'{"voucher":' * 500 + b"{}" + b"}" * 500,
    "an integer of thousands of digits": b'{"challenge":{"method":"tallystick","id":' + b"9" * 5_000 + b"}}",
    "half a surrogate pair": b'{"challenge":{"method":"tallystick","id":"\\ud800"},"payload":{}}',
    "NaN": b'{"challenge":NaN,"payload":Infinity}',
    "no UTF-8": b'{"challenge":"\xff\xfe"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "two values": b"{}{}",
    "nothing": b"",
    "a bare number": b"1",
    "the same key twice": b'{"challenge":{},"challenge":{"method":"tallystick"},"payload":{}}',
}


@pytest.mark.parametrize("raw", HOSTILE_JSON.values(), ids=HOSTILE_JSON)
def test_hostile_json_in_a_header_is_a_market_error(raw):
    text = base64url(raw)

    with pytest.raises(MarketError):
        read_authorization("Payment " + text)
    with pytest.raises(MarketError):
        read_receipt_text(text)


@pytest.mark.parametrize("length", [CREDENTIAL_LIMIT + 1, 1_000_000])
def test_what_is_too_long_is_not_even_decoded(length):
    with pytest.raises(CredentialTooLarge) as caught:
        read_authorization("Payment ".ljust(length, "A"))
    assert (caught.value.required, caught.value.actual) == (CREDENTIAL_LIMIT, length)

    with pytest.raises(CredentialTooLarge):
        read_receipt_text("A" * length)


@pytest.mark.parametrize("scheme", ["Bearer", "Basic", "", "Payments", "Payment="])
@given(credentials)
def test_another_scheme_is_not_ours(scheme, credential):
    text = authorization(credential).removeprefix("Payment ")

    with pytest.raises(MalformedCredential):
        read_authorization(f"{scheme} {text}")


@given(credentials, st.sampled_from(["tempo", "Tallystick", "", None, 1, [], {}]))
def test_another_method_is_not_ours(credential, method):
    data = credential_json(credential)
    data["challenge"]["method"] = method

    with pytest.raises(MalformedCredential):
        read_authorization("Payment " + base64url(json.dumps(data).encode()))
