"""Python and eth-account are held to the bytes of `tests/vectors`, as the contract's tests hold Solidity."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from tallystick.protocol import merkle
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain, digest, keccak
from tallystick.protocol.errors import MalformedSignature, WrongSigner
from tallystick.protocol.grant import Grant
from tallystick.protocol.message import Message, fields_of
from tallystick.protocol.offer import Offer
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, Signed, compact, recover, verify
from tallystick.protocol.units import address, hash32
from tallystick.protocol.voucher import Acknowledgement, Close, Voucher

ROOT = Path(__file__).parents[2]
KINDS: dict[str, type[Message]] = {
    kind.__name__: kind for kind in (Offer, Grant, Receipt, Acknowledgement, Voucher, Close)
}


def load(name):
    return json.loads((ROOT / "tests" / "vectors" / f"{name}.json").read_text(encoding="utf-8"))


EIP712, MERKLE, SIGNATURES = load("eip712"), load("merkle"), load("signatures")
DOMAIN = Domain(
    chain_id=int(EIP712["domain"]["chainId"]), contract=address(EIP712["domain"]["verifyingContract"])
)


def named(index_and_entry):
    index, entry = index_and_entry
    return f"{index}-{entry['type']}"


@pytest.fixture(params=enumerate(EIP712["messages"]), ids=named)
def entry(request):
    return request.param[1]


def test_the_files_are_what_the_script_writes():
    result = subprocess.run(
        [sys.executable, ROOT / "scripts" / "vectors", "--check"], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr


def test_every_signed_message_has_vectors():
    assert {entry["type"] for entry in EIP712["messages"]} == set(KINDS)


def test_the_separator_is_that_of_the_domain():
    assert DOMAIN.separator == hash32(EIP712["separator"])


def test_python_gives_the_bytes(entry):
    message = KINDS[entry["type"]].from_json(entry["message"])

    assert message.struct_hash() == hash32(entry["structHash"])
    assert digest(DOMAIN, message.struct_hash()) == hash32(entry["digest"])
    assert message.to_json() == entry["message"]


def test_eth_account_gives_the_bytes(entry):
    signable = encode_typed_data(full_message=typed_data(entry))

    assert signable.header == hash32(EIP712["separator"])
    assert signable.body == hash32(entry["structHash"])
    assert keccak(b"\x19" + signable.version + signable.header + signable.body) == hash32(entry["digest"])


@pytest.mark.parametrize("entry", EIP712["channels"])
def test_channel_ids_are_the_hash_of_the_abi_encoded_key(entry):
    from eth_abi import encode

    key = ChannelKey(
        payer=address(entry["payer"]),
        provider=address(entry["provider"]),
        session_key=address(entry["sessionKey"]),
        epoch=int(entry["epoch"]),
    )
    encoded = encode(
        ["address", "address", "address", "uint24"], [key.payer, key.provider, key.session_key, key.epoch]
    )

    assert key.id == keccak(encoded) == hash32(entry["channelId"])


@pytest.mark.parametrize("case", MERKLE["cases"], ids=lambda case: f"{len(case['leaves'])}-leaves")
def test_roots_and_proofs_are_those_of_the_receipts(case):
    leaves = [hash32(item) for item in case["leaves"]]

    assert merkle.root(leaves) == hash32(case["root"])
    for item in case["proofs"]:
        proof = [hash32(step) for step in item["proof"]]
        assert merkle.prove(leaves, item["index"]) == proof
        assert merkle.verify_proof(proof, hash32(case["root"]), hash32(item["leaf"]))


@pytest.mark.parametrize("entry", SIGNATURES["valid"])
def test_python_and_eth_account_sign_the_same(entry):
    key, signed = Key(hash32(entry["secret"])), hash32(entry["digest"])
    theirs = Account.unsafe_sign_hash(signed, entry["secret"])

    assert (
        key.address
        == address(entry["address"])
        == bytes.fromhex(Account.from_key(entry["secret"]).address[2:])
    )
    assert key.sign_hash(signed).hex() == bytes(theirs.signature).hex() == entry["signature"][2:]
    assert b"".join(compact(key.sign_hash(signed))).hex() == entry["compact"][2:]


@pytest.mark.parametrize("form", ["signature", "compact"])
@pytest.mark.parametrize("entry", SIGNATURES["valid"])
def test_both_forms_recover_the_signer(entry, form):
    signature = bytes.fromhex(entry[form][2:])

    assert recover(hash32(entry["digest"]), signature) == address(entry["address"])


@pytest.mark.parametrize("entry", SIGNATURES["invalid"], ids=lambda entry: entry["name"])
def test_what_is_no_signature_is_refused(entry):
    with pytest.raises(MalformedSignature):
        recover(hash32(entry["digest"]), bytes.fromhex(entry["signature"][2:]))


@pytest.mark.parametrize("entry", SIGNATURES["invalid"], ids=lambda entry: entry["name"])
def test_what_is_no_signature_verifies_nothing(entry):
    message = KINDS["Voucher"].from_json(
        next(e for e in EIP712["messages"] if e["type"] == "Voucher")["message"]
    )
    signed = Signed(message, bytes.fromhex(entry["signature"][2:]))

    with pytest.raises((MalformedSignature, WrongSigner)):
        verify(signed, DOMAIN, signer=address(SIGNATURES["valid"][0]["address"]))


def typed_data(entry):
    """The entry as wallets take it: `eth_signTypedData_v4`."""
    kind = KINDS[entry["type"]]
    types = {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ]
    }
    for struct in (kind, *kind.NESTED.values()):
        types[struct.__name__] = [{"name": name, "type": type_} for type_, name in fields_of(struct.TYPE)]
    return {
        "types": types,
        "primaryType": entry["type"],
        "domain": {
            "name": "Tallystick",
            "version": "1",
            "chainId": int(EIP712["domain"]["chainId"]),
            "verifyingContract": EIP712["domain"]["verifyingContract"],
        },
        "message": as_integers(kind, entry["message"]),
    }


def as_integers(kind, fields):
    """Decimal strings become integers, hex becomes bytes, and nested structs likewise."""
    values = {}
    for type_, name in fields_of(kind.TYPE):
        value = fields[name]
        if type_.startswith("uint"):
            values[name] = int(value)
        elif type_ == "bytes32":
            values[name] = bytes.fromhex(value[2:])
        elif type_[0].isupper():
            values[name] = as_integers(kind.NESTED[type_], value)
        else:
            values[name] = value
    return values
