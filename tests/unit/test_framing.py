"""Our headers are the "Payment" scheme's: pympp, which frames it for other methods, reads what we write."""

import mpp
import pytest

from tallystick.protocol.eip712 import Domain, keccak
from tallystick.protocol.grant import Grant
from tallystick.protocol.receipt import Finish, Receipt
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import ZERO_ADDRESS, ZERO_HASH, to_hex
from tallystick.protocol.voucher import Tally
from tallystick.protocol.wire import (
    Credential,
    Terms,
    authorization,
    challenge,
    read_authorization,
    receipt_text,
)

DOMAIN = Domain(chain_id=31337, contract=ZERO_ADDRESS)
KEY = Key(keccak(b"key"))
OFFER_HASH = keccak(b"offer")
TERMS = Terms(
    offer_hash=OFFER_HASH, credit=20_000, owed=300, reserved=200, required=1_500, receipt_count=4, cap=9_000
)
GRANT = Grant(payer=KEY.address, provider=KEY.address, session_key=KEY.address, epoch=0, cap=1, deadline=2)
RECEIPT = Receipt(
    channel_id=ZERO_HASH,
    sequence=0,
    offer_hash=OFFER_HASH,
    request_hash=ZERO_HASH,
    response_hash=ZERO_HASH,
    tokens_hash=ZERO_HASH,
    input_tokens=1,
    cached_input_tokens=0,
    output_tokens=1,
    finish=Finish.STOP,
    received_at=1,
    first_token_at=2,
    finished_at=3,
    cost=1,
    cumulative_cost=1,
)


def test_pympp_reads_our_challenge():
    parsed = mpp.Challenge.from_www_authenticate(challenge(TERMS))

    assert (parsed.method, parsed.intent, parsed.realm) == ("tallystick", "session", "tallystick")
    assert parsed.id == to_hex(OFFER_HASH)
    assert Terms.from_json(parsed.request) == TERMS


def test_pympp_reads_our_credential():
    voucher, grant = sign(Tally().voucher(ZERO_HASH), DOMAIN, KEY), sign(GRANT, DOMAIN, KEY)
    credential = Credential(voucher=voucher.signed, offer_hash=OFFER_HASH, grant=grant.signed)

    parsed = mpp.Credential.from_authorization(authorization(credential))

    assert (parsed.challenge.method, parsed.challenge.id) == ("tallystick", to_hex(OFFER_HASH))
    assert parsed.payload["voucher"] == voucher.message.to_json()
    assert parsed.payload["grant"]["grant"] == GRANT.to_json()


def test_we_read_the_credential_that_pympp_writes():
    voucher = sign(Tally().voucher(ZERO_HASH), DOMAIN, KEY)
    credential = Credential(voucher=voucher.signed, offer_hash=OFFER_HASH)
    rewritten = mpp.Credential.from_authorization(authorization(credential)).to_authorization()

    assert read_authorization(rewritten) == credential


def test_our_receipt_is_not_the_schemes():
    """The scheme's receipt says that a payment succeeded, and when. Ours says what work was delivered, before
    any payment, at times that are inside what is signed: it has no status to give."""
    with pytest.raises(mpp.ParseError, match="status"):
        mpp.Receipt.from_payment_receipt(receipt_text(sign(RECEIPT, DOMAIN, KEY).signed))
