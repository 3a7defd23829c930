"""What judges sign and are asked, made anew from docs/spec.md, section 10, and compared with
`tests/vectors/quality.json`: messages by eth-account, names of duels by eth-abi."""

import json
import re
from math import exp
from pathlib import Path
from typing import Any

import pytest
from eth_abi import encode
from eth_account import Account
from eth_account.messages import _hash_eip191_message, encode_typed_data
from eth_utils import keccak

from tallystick.protocol.eip712 import Domain, digest
from tallystick.protocol.judging import VERSION, prompt
from tallystick.protocol.message import Message, fields_of
from tallystick.protocol.strength import Decided, strengths
from tallystick.protocol.units import address, hash32, to_hex
from tallystick.protocol.vote import (
    Ballot,
    Choice,
    VoteCommitment,
    appeal_id,
    duel_commitment,
    duel_id,
    hidden_hash,
    vote_of_choice,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "quality.json").read_text(encoding="utf-8"))
DOMAIN = Domain(
    chain_id=int(VECTORS["domain"]["chainId"]), contract=address(VECTORS["domain"]["verifyingContract"])
)
KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in (Ballot, VoteCommitment)}
MESSAGES = pytest.mark.parametrize("entry", VECTORS["messages"])


def test_every_kind_of_message_has_vectors() -> None:
    assert {entry["type"] for entry in VECTORS["messages"]} == set(KINDS)


@MESSAGES
def test_python_gives_the_bytes(entry: dict[str, Any]) -> None:
    message = KINDS[entry["type"]].from_json(entry["message"])
    assert to_hex(message.struct_hash()) == entry["structHash"]
    assert to_hex(digest(DOMAIN, message.struct_hash())) == entry["digest"]


@MESSAGES
def test_eth_account_gives_the_bytes_and_the_signature(entry: dict[str, Any]) -> None:
    signable = encode_typed_data(full_message=_typed(KINDS[entry["type"]], entry["message"]))
    signed = Account.sign_message(signable, VECTORS["judge"]["secret"])

    assert "0x" + signable.body.hex() == entry["structHash"]
    assert "0x" + _hash_eip191_message(signable).hex() == entry["digest"]
    assert "0x" + bytes(signed.signature).hex() == entry["signature"]


STRENGTHS = pytest.mark.parametrize("entry", VECTORS["strengths"])


@STRENGTHS
def test_python_gives_the_strengths(entry: dict[str, Any]) -> None:
    duels = [
        Decided(
            first=address(one["first"]),
            second=address(one["second"]),
            verdict=vote_of_choice(Choice(one["verdict"])),
        )
        for one in entry["duels"]
    ]
    for told in (duels, duels[::-1]):
        found = {to_hex(one): strength for one, strength in strengths(told).items()}
        assert found == {one: millionths / 1_000_000 for one, millionths in entry["millionths"].items()}


@STRENGTHS
def test_strengths_are_the_likeliest_ones(entry: dict[str, Any]) -> None:
    """Where wins are what is expected of them, ten draws with an average provider among all duels."""
    strength = {one: millionths / 1_000_000 for one, millionths in entry["millionths"].items()}
    for one, own in strength.items():
        won, expected = 5.0, 10 / (1 + exp(-own))
        for duel in entry["duels"]:
            if one in (duel["first"], duel["second"]):
                side, other = ("first", "second") if one == duel["first"] else ("second", "first")
                won += {1: side == "first", 2: side == "second", 3: 0.5}[duel["verdict"]]
                expected += 1 / (1 + exp(strength[duel[other]] - own))
        assert expected == pytest.approx(won, abs=1e-4)


@pytest.mark.parametrize("entry", VECTORS["duels"])
def test_a_duel_is_called_what_the_contract_s_encoding_says(entry: dict[str, Any]) -> None:
    def hashed(kinds: list[str], *values: Any) -> str:
        return "0x" + keccak(encode(kinds, values)).hex()

    first, second, salt = (hash32(entry[name]) for name in ("firstReceiptHash", "secondReceiptHash", "salt"))
    challenger, known = address(entry["challenger"]), Choice(entry["known"])
    hidden, commitment, duel = (hash32(entry[name]) for name in ("hidden", "commitment", "duel"))

    assert hashed(["uint8", "bytes32"], known, salt) == entry["hidden"]
    assert hashed(["bytes32"] * 3, first, second, hidden) == entry["commitment"]
    assert hashed(["address", "bytes32"], challenger, commitment) == entry["duel"]
    assert hashed(["string", "bytes32"], "appeal", duel) == entry["appeal"]
    assert hidden_hash(known, salt) == hidden
    assert duel_commitment(first, second, hidden) == commitment
    assert duel_id(challenger, commitment) == duel
    assert to_hex(appeal_id(duel)) == entry["appeal"]


@pytest.mark.parametrize("entry", VECTORS["prompts"])
def test_the_prompt_of_this_version_is_these_words(entry: dict[str, Any]) -> None:
    texts = [
        re.sub(r"\\u\{([0-9a-f]+)\}", lambda found: chr(int(found[1], 16)), entry[name])
        for name in ("question", "a", "b")
    ]
    assert VECTORS["version"] == VERSION
    assert prompt(*texts) == entry["prompt"]


def _typed(kind: type[Message], message: dict[str, Any]) -> dict[str, Any]:
    domain = [
        ("string", "name"),
        ("string", "version"),
        ("uint256", "chainId"),
        ("address", "verifyingContract"),
    ]
    types = {"EIP712Domain": domain, kind.__name__: fields_of(kind.TYPE)}
    return {
        "types": {
            name: [{"name": field, "type": type_} for type_, field in fields]
            for name, fields in types.items()
        },
        "primaryType": kind.__name__,
        "domain": {"name": "Tallystick", "version": "1", **VECTORS["domain"]} | {"chainId": DOMAIN.chain_id},
        "message": {
            name: int(message[name]) if type_.startswith("uint") else message[name]
            for type_, name in fields_of(kind.TYPE)
        },
    }
