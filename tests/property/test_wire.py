"""Every codec gives back what was put in."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocol.grant import Grant
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Hash32
from tallystick.protocol.voucher import Acknowledgement, Close, Voucher
from tallystick.protocol.wire import (
    CREDENTIAL_LIMIT,
    Credential,
    Terms,
    authorization,
    challenge,
    read_authorization,
    read_receipt_text,
    receipt_text,
    signed_from_json,
    signed_to_json,
)

any_message = st.one_of(*map(st.from_type, (Offer, Grant, Receipt, Acknowledgement, Voucher, Close)))
signatures = st.binary(min_size=64, max_size=65)
wallet_signatures = st.binary(max_size=1024)
"""An ERC-1271 wallet's can be long."""


def signed(kind, signature=signatures):
    return st.builds(Signed, st.from_type(kind), signature)


credentials = st.builds(
    Credential,
    voucher=signed(Voucher),
    offer_hash=st.from_type(Hash32),
    grant=st.none() | signed(Grant, wallet_signatures),
)


@given(any_message)
def test_messages_survive_json(message):
    through_text = json.loads(json.dumps(message.to_json()))

    assert type(message).from_json(through_text) == message


@given(any_message, wallet_signatures)
def test_signed_messages_survive_json(message, signature):
    there = Signed(message, signature)

    assert signed_from_json(type(message), json.loads(json.dumps(signed_to_json(there)))) == there


@given(credentials)
def test_credentials_survive_the_header(credential):
    header = authorization(credential)

    assert read_authorization(header) == credential
    assert len(header) <= CREDENTIAL_LIMIT
    assert header.isascii()
    assert header.isprintable()


@given(credentials)
def test_the_scheme_is_read_in_any_case_and_padding_may_stand(credential):
    text = authorization(credential).removeprefix("Payment ")

    assert read_authorization(f"pAYMENT   {text} ") == credential
    assert read_authorization(f"Payment {text}" + "=" * (-len(text) % 4)) == credential


@given(signed(Receipt))
def test_receipts_survive_the_header_and_the_comment_line(receipt):
    text = receipt_text(receipt)

    assert read_receipt_text(text) == receipt
    assert text.isascii()
    assert text.isprintable()


@given(st.from_type(Terms))
def test_terms_survive_json(terms):
    assert Terms.from_json(json.loads(json.dumps(terms.to_json()))) == terms


@given(st.from_type(Terms))
def test_a_challenge_is_one_line_of_a_header(terms):
    assert challenge(terms).isascii()
    assert challenge(terms).isprintable()
