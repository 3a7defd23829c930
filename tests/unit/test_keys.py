"""A key is exactly 32 bytes, and never shows itself."""

import pytest

from tallystick.protocol.eip712 import Domain, keccak
from tallystick.protocol.errors import MalformedSignature
from tallystick.protocol.signed import Key, Signed, compact, recover, sign, verify
from tallystick.protocol.units import ZERO_ADDRESS, ZERO_HASH
from tallystick.protocol.voucher import Tally

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
DOMAIN = Domain(chain_id=1, contract=ZERO_ADDRESS)


@pytest.mark.parametrize(
    "secret",
    [b"", b"\1", b"\1" * 31, b"\1" * 33, bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32],
    ids=["none", "one byte", "31 bytes", "33 bytes", "zero", "the order", "over the order"],
)
def test_what_is_no_private_key_is_refused(secret):
    with pytest.raises(ValueError):
        Key(secret)


def test_generated_keys_differ():
    assert Key.generate().secret != Key.generate().secret


def test_a_key_shows_its_address_only():
    key = Key(keccak(b"secret"))

    assert repr(key) == str(key) == f"Key({key.address.hex()})"


@pytest.mark.parametrize("length", [0, 1, 63, 66, 130])
def test_a_signature_has_64_or_65_bytes(length):
    for read in (lambda: recover(ZERO_HASH, bytes(length)), lambda: compact(bytes(length))):
        with pytest.raises(MalformedSignature) as caught:
            read()
        assert (caught.value.required, caught.value.actual) == (65, length)


@pytest.mark.parametrize("v", [0, 1, 2, 26, 29, 30, 255])
def test_v_is_27_or_28(v):
    signature = Key(keccak(b"k")).sign_hash(ZERO_HASH)[:64] + bytes((v,))

    for read in (lambda: recover(ZERO_HASH, signature), lambda: compact(signature)):
        with pytest.raises(MalformedSignature) as caught:
            read()
        assert caught.value.actual == v


def test_a_true_signature_with_eip_155s_v_is_not_taken():
    """`v` of a transaction names its chain; that of typed data never does."""
    key = Key(keccak(b"k"))
    voucher = Tally().voucher(ZERO_HASH)
    signature = sign(voucher, DOMAIN, key).signature

    with pytest.raises(MalformedSignature):
        verify(Signed(voucher, signature[:64] + bytes((signature[64] + 10,))), DOMAIN, signer=key.address)
