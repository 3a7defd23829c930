"""What is said beside the chain, made anew from docs/spec.md, sections 8 and 9, and compared with
`tests/vectors/network.json`: hashes by eth-account, packed bytes by eth-abi, paces by exact decimals."""

import base64
import json
from collections.abc import Iterator
from decimal import Decimal, getcontext
from pathlib import Path
from typing import Any

import pytest
from eth_abi.packed import encode_packed
from eth_account import Account
from eth_account.messages import _hash_eip191_message, encode_typed_data
from eth_utils import keccak

from tallystick.protocol.eip712 import Domain, digest
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.expect import Expected, Redeemed, Size, microseconds_up, read_expect
from tallystick.protocol.gossip import Frame, Gossip, is_set, read_body
from tallystick.protocol.message import Message, fields_of
from tallystick.protocol.packed import pack, unpack
from tallystick.protocol.quote import Quote
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.speed import Load, Pace, Speed, pace
from tallystick.protocol.status import Rating, Status, Suspicion
from tallystick.protocol.told import read_said
from tallystick.protocol.units import address, hash32, to_hex

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "network.json").read_text(encoding="utf-8"))
DOMAIN = Domain(
    chain_id=int(VECTORS["domain"]["chainId"]), contract=address(VECTORS["domain"]["verifyingContract"])
)
KINDS: dict[str, Any] = {
    kind.__name__: kind for kind in (Status, Speed, Suspicion, Rating, Receipt, Quote, Gossip)
}
TAGS = {"status": 1, "suspicion": 2, "rating": 3}
LISTS = {"status": "statuses", "suspicion": "suspicions", "rating": "ratings"}
MESSAGES = pytest.mark.parametrize(
    "entry", VECTORS["messages"], ids=[f"{n}-{entry['type']}" for n, entry in enumerate(VECTORS["messages"])]
)
getcontext().prec = 80


def test_every_kind_of_message_has_vectors() -> None:
    assert {entry["type"] for entry in VECTORS["messages"]} == set(KINDS)


# --------------------------------------------------------------------------------------------------- messages


@MESSAGES
def test_python_gives_the_bytes(entry: dict[str, Any]) -> None:
    message = KINDS[entry["type"]].from_json(entry["message"])

    assert to_hex(message.struct_hash()) == entry["structHash"]
    assert to_hex(digest(DOMAIN, message.struct_hash())) == entry["digest"]
    assert to_hex(pack(message)) == entry["packed"]
    packed = bytes.fromhex(entry["packed"][2:])
    assert unpack(KINDS[entry["type"]], packed) == (message, len(packed))


@MESSAGES
def test_eth_account_gives_the_bytes(entry: dict[str, Any]) -> None:
    signable = encode_typed_data(full_message=_typed(KINDS[entry["type"]], entry["message"]))

    assert "0x" + signable.body.hex() == entry["structHash"]
    assert "0x" + _hash_eip191_message(signable).hex() == entry["digest"]


@MESSAGES
def test_eth_abi_packs_the_bytes(entry: dict[str, Any]) -> None:
    assert "0x" + _packed(KINDS[entry["type"]], entry["message"]).hex() == entry["packed"]


def _packed(kind: type[Message], fields: dict[str, Any]) -> bytes:
    packed = b""
    for kind_of, name in fields_of(kind.TYPE):
        value = fields[name]
        if kind_of in KINDS:
            packed += _packed(KINDS[kind_of], value)
        elif kind_of == "string":
            packed += encode_packed(["uint8", "string"], [len(value.encode()), value])
        else:
            packed += encode_packed([kind_of], [_plain(kind_of, value)])
    return packed


def _plain(kind: str, value: str) -> Any:
    if kind.startswith("uint"):
        return int(value)
    return bytes.fromhex(value[2:]) if kind == "bytes32" else value


def _typed(kind: type[Message], fields: dict[str, Any]) -> dict[str, Any]:
    def plain(kind: type[Message], fields: dict[str, Any]) -> dict[str, Any]:
        return {
            name: plain(KINDS[of], fields[name]) if of in KINDS else _plain(of, fields[name])
            for of, name in fields_of(kind.TYPE)
        }

    structs = {kind.__name__: kind, **{one.__name__: one for one in kind.NESTED.values()}}
    domain = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}
    return {
        "types": {"EIP712Domain": [{"name": name, "type": of} for name, of in domain.items()]}
        | {
            name: [{"name": field, "type": of} for of, field in fields_of(struct.TYPE)]
            for name, struct in structs.items()
        },
        "primaryType": kind.__name__,
        "domain": {
            "name": "Tallystick",
            "version": "1",
            "chainId": int(VECTORS["domain"]["chainId"]),
            "verifyingContract": VECTORS["domain"]["verifyingContract"],
        },
        "message": plain(kind, fields),
    }


# ----------------------------------------------------------------------------------------------------- bodies


@pytest.mark.parametrize("case", VECTORS["bodies"])
def test_a_body_is_bits_and_frames(case: dict[str, Any]) -> None:
    number = sum(1 << place for place, known in enumerate(case["known"]) if known)
    size = -(-len(case["known"]) // 8)
    expected = bytes((size,)) + number.to_bytes(size, "big")
    for frame in case["frames"]:
        said = frame["said"]
        kind = KINDS[frame["kind"].capitalize()]
        content = _packed(kind, said[frame["kind"]]) + bytes.fromhex(said["signature"][2:])
        if frame["kind"] == "rating":
            evidence = said["evidence"]
            content += _packed(Receipt, evidence["receipt"]) + bytes.fromhex(evidence["signature"][2:])
        expected += bytes((TAGS[frame["kind"]],)) + len(content).to_bytes(2, "big") + content

    assert "0x" + expected.hex() == case["body"]
    envelope = json.loads(base64.urlsafe_b64decode(case["header"] + "=" * (-len(case["header"]) % 4)))
    assert envelope["gossip"]["bodyHash"] == "0x" + keccak(expected).hex()
    signable = encode_typed_data(full_message=_typed(Gossip, envelope["gossip"]))
    signer = Account.recover_message(signable, signature=envelope["signature"])
    assert signer.lower() == envelope["gossip"]["sender"] == VECTORS["keys"]["sender"]


@pytest.mark.parametrize("case", VECTORS["bodies"])
def test_a_body_is_read_as_what_it_was_made_of(case: dict[str, Any]) -> None:
    known, frames = read_body(bytes.fromhex(case["body"][2:]))

    assert [is_set(known, place) for place in range(len(case["known"]))] == case["known"]
    assert list(frames) == [
        read_said(KINDS[frame["kind"].capitalize()], frame["said"]) for frame in case["frames"]
    ]


@pytest.mark.parametrize("case", VECTORS["malformed"], ids=lambda case: case["name"])
def test_what_is_no_body_is_read_up_to_where_it_is_none(case: dict[str, Any]) -> None:
    read: list[Frame] = []

    def frames() -> Iterator[Frame]:
        _, found = read_body(bytes.fromhex(case["body"][2:]))
        yield from found

    with pytest.raises(MalformedMessage):
        read.extend(frames())
    assert str(len(read)) == case["read"]


# ------------------------------------------------------------------------------------------------------ paces


def _step(speed: dict[str, int], n: int, c: int, p: int) -> Decimal:
    weights, computed = Decimal(speed["weights"]), Decimal(speed["token"] * (n + p))
    overlapped = (_three_halves(weights) + _three_halves(computed)) ** (Decimal(2) / 3)
    d = Decimal(c) / n if n else Decimal(p) / 2
    return (
        speed["fixed"]
        + speed["sequence"] * (n + (p > 0))
        + overlapped
        + speed["context"] * c
        + Decimal("3e-5") * speed["token"] * p * d
    )


def _three_halves(value: Decimal) -> Decimal:
    return value * value.sqrt()


def _paces(speed: dict[str, int], load: dict[str, int], inputs: int, outputs: int) -> tuple[int, int]:
    """Microseconds, rounded up, of section 9."""
    running, context, chunk = load["running"], load["context"], speed["chunk"]
    length = max(outputs, 128)
    following = max(0, context - running * length // 2) // length
    if chunk:
        following = min(following, chunk)
    held = context + load["queued"] + inputs + outputs // 2
    over = max(0, held - speed["capacity"]) if speed["capacity"] else 0
    prompts = load["queued"] + inputs
    steps = -(-prompts // max(1, chunk - running)) if chunk else 1
    token = _step(speed, running + load["waiting"] + 1, held - over, following)
    first = steps * _step(speed, running, context, prompts // max(1, steps))
    if running:
        first += _step(speed, running, context, following) / 2
    if over:
        first += token * length * over / speed["capacity"]
    most = (1 << 50) - 1
    return min(most, -int(-first // 1_000_000)), min(most, -int(-token // 1_000_000))


@pytest.mark.parametrize("case", VECTORS["paces"])
def test_a_pace_is_what_the_formula_says(case: dict[str, Any]) -> None:
    speed = {name: int(value) for name, value in case["speed"].items()}
    load = {name: int(value) for name, value in case["load"].items()}
    size = int(case["inputTokens"]), int(case["outputTokens"])
    first, token = _paces(speed, load, *size)

    assert abs(first - int(case["firstTokenUs"])) <= 1
    assert abs(token - int(case["tokenUs"])) <= 1
    ours = pace(Speed.from_json(case["speed"]), Load(**load), input_tokens=size[0], output_tokens=size[1])
    assert str(microseconds_up(ours.first_s)) == case["firstTokenUs"]
    assert str(microseconds_up(ours.token_s)) == case["tokenUs"]


# ----------------------------------------------------------------------------------------------- expectations


@pytest.mark.parametrize("case", VECTORS["expectations"]["read"], ids=lambda case: case["text"])
def test_an_expectation_is_read(case: dict[str, str]) -> None:
    if "quote" in case:
        assert read_expect(case["text"]) == Redeemed(hash32(case["quote"]))
        assert case["text"].lower() == f"quote={case['quote']}"
        return
    parts = dict(part.strip().split("=") for part in case["text"].split(","))
    names = {
        "first-us": "firstTokenUs",
        "token-us": "tokenUs",
        "input": "inputTokens",
        "output": "outputTokens",
    }
    assert parts == {name: case[field] for name, field in names.items()}
    said = read_expect(case["text"])
    assert isinstance(said, Expected)
    assert str(microseconds_up(said.pace.first_s)) == case["firstTokenUs"]
    assert str(microseconds_up(said.pace.token_s)) == case["tokenUs"]
    assert (str(said.size.input_tokens), str(said.size.output_tokens)) == (
        case["inputTokens"],
        case["outputTokens"],
    )


@pytest.mark.parametrize("text", VECTORS["expectations"]["refused"])
def test_what_is_no_expectation_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        read_expect(text)


@pytest.mark.parametrize("case", VECTORS["tolerated"])
def test_a_request_is_taken_up_to_half_as_long_again_and_300_ms(case: dict[str, Any]) -> None:
    output = int(case["outputTokens"])

    def total_us(times: dict[str, str]) -> int:
        return int(times["firstTokenUs"]) + int(times["tokenUs"]) * max(0, output - 1)

    assert case["taken"] == (2 * total_us(case["found"]) <= 3 * total_us(case["expected"]) + 600_000)
    expected, found = (
        Pace(*(int(case[which][name]) / 1e6 for name in ("firstTokenUs", "tokenUs")))
        for which in ("expected", "found")
    )
    size = Size(input_tokens=1, output_tokens=output)
    assert Expected(size=size, pace=expected).tolerates(found) == case["taken"]
