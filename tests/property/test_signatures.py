"""Only the signer's own signature of the very message in the very market verifies; anything else raises."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tallystick.protocol.eip712 import Domain, digest
from tallystick.protocol.errors import MalformedSignature, SignatureError, WrongSigner
from tallystick.protocol.grant import Grant
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, Signed, Verified, compact, recover, sign, verify
from tallystick.protocol.units import ZERO_ADDRESS, ZERO_HASH, Address, Hash32
from tallystick.protocol.voucher import Acknowledgement, Close, Voucher

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
DOMAIN = Domain(chain_id=31337, contract=Address(b"\x11" * 20))
any_key = st.from_type(Key)
any_message = st.one_of(*map(st.from_type, (Offer, Grant, Receipt, Voucher, Close)))


def high_s(signature: bytes) -> bytes:
    """The other signature that the same key made of the same digest."""
    s = int.from_bytes(signature[32:64], "big")
    return signature[:32] + (ORDER - s).to_bytes(32, "big") + bytes((27 + 28 - signature[64],))


@given(any_message, any_key)
def test_what_is_signed_verifies(message, key):
    signed = sign(message, DOMAIN, key)

    assert signed == Verified(message, signed.signature, key.address)
    assert verify(signed.signed, DOMAIN, signer=key.address) == signed


@given(any_message, any_key)
def test_the_compact_form_verifies_too(message, key):
    short = b"".join(compact(sign(message, DOMAIN, key).signature))

    assert len(short) == 64
    assert verify(Signed(message, short), DOMAIN, signer=key.address).signer == key.address
    assert compact(short) == (short[:32], short[32:])


@given(any_message, any_key)
def test_signatures_have_low_s(message, key):
    signature = sign(message, DOMAIN, key).signature

    assert int.from_bytes(signature[32:64], "big") <= ORDER // 2
    assert signature[64] in (27, 28)


@given(any_message, any_key)
def test_the_twin_with_high_s_is_refused(message, key):
    twin = high_s(sign(message, DOMAIN, key).signature)

    with pytest.raises(MalformedSignature):
        verify(Signed(message, twin), DOMAIN, signer=key.address)


@given(st.from_type(Voucher), any_key, any_key)
def test_another_key_is_a_wrong_signer(voucher, key, other):
    assume(key.address != other.address)

    with pytest.raises(WrongSigner) as caught:
        verify(sign(voucher, DOMAIN, key).signed, DOMAIN, signer=other.address)

    assert caught.value.required == "0x" + other.address.hex()
    assert caught.value.actual == "0x" + key.address.hex()


@given(st.from_type(Voucher), any_key)
def test_another_market_is_a_wrong_signer(voucher, key):
    signed = sign(voucher, DOMAIN, key).signed

    for domain in (
        Domain(chain_id=1, contract=DOMAIN.contract),
        Domain(chain_id=31337, contract=ZERO_ADDRESS),
    ):
        with pytest.raises(WrongSigner):
            verify(signed, domain, signer=key.address)


@given(st.from_type(Voucher), any_key, st.integers(0, 2**128 - 1))
def test_another_amount_is_a_wrong_signer(voucher, key, amount):
    assume(amount != voucher.cumulative_amount)
    signature = sign(voucher, DOMAIN, key).signature

    with pytest.raises(WrongSigner):
        verify(Signed(replace(voucher, cumulative_amount=amount), signature), DOMAIN, signer=key.address)


@given(st.from_type(Close), any_key)
def test_a_close_is_no_voucher(close, key):
    voucher = Voucher(
        channel_id=close.channel_id,
        cumulative_amount=close.cumulative_amount,
        acknowledgement=Acknowledgement(receipt_count=0, receipts_root=ZERO_HASH),
    )

    with pytest.raises(WrongSigner):
        verify(Signed(voucher, sign(close, DOMAIN, key).signature), DOMAIN, signer=key.address)


@given(st.from_type(Voucher), any_key, st.integers(0, 64), st.integers(0, 7))
def test_no_bit_can_be_turned(voucher, key, byte, bit):
    signature = bytearray(sign(voucher, DOMAIN, key).signature)
    signature[byte] ^= 1 << bit

    with pytest.raises(SignatureError):
        verify(Signed(voucher, bytes(signature)), DOMAIN, signer=key.address)


arbitrary = st.one_of(
    st.binary(max_size=130),
    st.binary(min_size=64, max_size=64),
    st.builds(lambda rs, v: rs + bytes((v,)), st.binary(min_size=64, max_size=64), st.sampled_from([27, 28])),
)


@given(arbitrary, st.from_type(Hash32))
def test_arbitrary_bytes_are_somebody_elses_or_nobodys(signature, hashed):
    try:
        signer = recover(hashed, signature)
    except MalformedSignature:
        return
    assert len(signer) == 20
    assert signer != ZERO_ADDRESS


@given(st.from_type(Voucher), arbitrary, any_key)
def test_arbitrary_bytes_verify_nothing(voucher, signature, key):
    with pytest.raises(SignatureError):
        verify(Signed(voucher, signature), DOMAIN, signer=key.address)


@given(st.from_type(Voucher), arbitrary)
def test_the_zero_address_signed_nothing(voucher, signature):
    with pytest.raises(SignatureError):
        verify(Signed(voucher, signature), DOMAIN, signer=ZERO_ADDRESS)


@given(st.from_type(Hash32), any_key)
def test_a_hash_signed_is_recovered(hashed, key):
    assert recover(hashed, key.sign_hash(hashed)) == key.address


@given(st.from_type(Voucher), any_key)
def test_signing_twice_gives_the_same_bytes(voucher, key):
    assert sign(voucher, DOMAIN, key) == sign(voucher, DOMAIN, Key(key.secret))


@given(st.from_type(Voucher), any_key)
def test_no_text_form_shows_a_signature_or_a_secret(voucher, key):
    verified = sign(voucher, DOMAIN, key)

    for text in (repr(verified), repr(verified.signed), repr(key), str(key)):
        assert repr(verified.signature) not in text
        assert verified.signature.hex() not in text
        assert key.secret.hex() not in text


def test_the_digest_signed_is_the_messages():
    close = Close(channel_id=ZERO_HASH, cumulative_amount=7)
    key = Key(b"\1" * 32)

    assert sign(close, DOMAIN, key).signature == key.sign_hash(digest(DOMAIN, close.struct_hash()))
