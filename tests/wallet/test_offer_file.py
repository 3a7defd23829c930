"""The TOML of an offer."""

import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tallystick.chain.market import Asset
from tallystick.protocol.units import ZERO_HASH
from tallystick.wallet.errors import OfferFileError
from tallystick.wallet.offer_file import read_offer_file

TEST = Asset(symbol="TEST", decimals=6)
NOW = 1_800_000_000


def test_a_file_becomes_an_offer(offer_toml) -> None:
    file = read_offer_file(offer_toml(endpoint="https://p.example:8443/v1/"), TEST, now=NOW)
    offer = file.offer(b"\1" * 20, 5)
    assert offer.endpoint == "https://p.example:8443"
    assert (offer.input_price, offer.cached_input_price, offer.output_price) == (100_000, 100_000, 400_000)
    assert (offer.credit, offer.context_length, offer.sequence) == (50_000, 4096, 5)
    assert offer.valid_until == NOW + 30 * 86_400
    assert (offer.endpoint_key, offer.model_hash) == (ZERO_HASH, ZERO_HASH)


def test_what_may_be_left_out_can_be_given(offer_toml) -> None:
    path = offer_toml(
        cached_input_price="0.05 TEST",
        valid_for="2 weeks",
        stake="250 TEST",
        model_hash="0x" + "ab" * 32,
        endpoint_key="0x" + "cd" * 32,
        engine="http://127.0.0.1:8000/v1",
        receipt_wallet="receipts",
    )
    file = read_offer_file(path, TEST, now=NOW)
    assert file.cached_input_price == 50_000
    assert file.valid_until == NOW + 14 * 86_400
    assert file.stake == 250_000_000
    assert (file.model_hash, file.endpoint_key) == (b"\xab" * 32, b"\xcd" * 32)
    assert (file.engine, file.receipt_wallet) == ("http://127.0.0.1:8000", "receipts")


def test_an_end_may_be_a_date(offer_toml) -> None:
    path = offer_toml()
    path.write_text(path.read_text() + "valid_until = 2027-06-01T00:00:00Z\n")
    assert read_offer_file(path, TEST, now=NOW).valid_until == 1_811_808_000


def test_a_tls_key_file_gives_the_hash_that_openssl_gives(offer_toml, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "tls.pem").write_bytes(pem)
    file = read_offer_file(offer_toml(tls_key_file="tls.pem"), TEST, now=NOW)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert file.endpoint_key == hashlib.sha256(public).digest()
    command = ["openssl", "pkey", "-in", str(tmp_path / "tls.pem"), "-pubout", "-outform", "DER"]
    try:
        theirs = subprocess.run(command, capture_output=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    assert hashlib.sha256(theirs).digest() == file.endpoint_key


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"model": None}, "lacks model"),
        ({"input_price": None, "credit": None}, "lacks input_price, credit"),
        ({"pricee": 1}, "has pricee, which no offer has"),
        ({"model": ""}, "a text of 1 to 128 bytes"),
        ({"model": "ä" * 65}, "a text of 1 to 128 bytes"),
        ({"model": 7}, "a text of 1 to 128 bytes"),
        ({"endpoint": "provider.example"}, "an http or https URL"),
        ({"endpoint": "https://user@provider.example"}, "an http or https URL"),
        ({"endpoint": "https://provider.example/?x=1"}, "an http or https URL"),
        ({"input_price": 0.1}, "atoms as an integer"),
        ({"input_price": True}, "atoms as an integer"),
        ({"input_price": "0.1"}, "no whole number of atoms"),
        ({"output_price": "1 USDC"}, "another unit"),
        ({"output_price": 1 << 64}, "less than 2\\^64"),
        ({"context_length": 0}, "an integer from 1"),
        ({"context_length": "4096"}, "an integer from 1"),
        ({"model_hash": "0x12"}, "64 hex digits"),
        ({"valid_for": "soon"}, '"30 days"'),
        ({"valid_for": "0 days"}, '"30 days"'),
        ({"valid_until": NOW}, "in the future"),
        ({"valid_until": NOW + 9, "valid_for": "1 day"}, "both valid_for and valid_until"),
        ({"tls_key_file": "t.pem", "endpoint_key": "0x" + "00" * 32}, "both tls_key_file and endpoint_key"),
        ({"tls_key_file": "nowhere.pem"}, "tally-node tls-key"),
        ({"tls_key_file": "offer.toml"}, "no private key"),
        ({"sequence": 7}, "sequence"),
    ],
)
def test_what_cannot_be_offered_is_named(offer_toml, fields: dict[str, object], why: str) -> None:
    with pytest.raises(OfferFileError, match=why):
        read_offer_file(offer_toml(**fields), TEST, now=NOW)


@pytest.mark.parametrize("content", [b"model = ", b"\xff\xfe", b"= 3"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "offer.toml"
    path.write_bytes(content)
    with pytest.raises(OfferFileError, match="is no TOML"):
        read_offer_file(path, TEST, now=NOW)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OfferFileError, match="cannot be read"):
        read_offer_file(tmp_path / "offer.toml", TEST, now=NOW)
