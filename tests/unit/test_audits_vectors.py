"""What audits are made of, made anew from docs/spec.md, sections 1 and 11, and compared with
`tests/vectors/audits.json`: findings by eth-account, the rest in a few lines.
"""

import json
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from eth_account.messages import _hash_eip191_message, encode_typed_data
from eth_utils import keccak

from tallystick.protocol.evidence import Evidence, Scales
from tallystick.protocol.finding import Check, Finding
from tallystick.protocol.lottery import is_drawn, share
from tallystick.protocol.message import fields_of
from tallystick.protocol.transcript import tokens_hash
from tallystick.protocol.units import hash32, to_hex

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "audits.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("entry", VECTORS["findings"])
def test_a_finding_hashes_as_typed_data(entry: dict[str, Any]) -> None:
    finding = Finding.from_json(entry["message"])
    domain = {"name": "string", "version": "string", "chainId": "uint256", "verifyingContract": "address"}
    signable = encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": [{"name": name, "type": kind} for name, kind in domain.items()],
                "Finding": [{"name": name, "type": kind} for kind, name in fields_of(Finding.TYPE)],
            },
            "primaryType": "Finding",
            "domain": {
                "name": "Tallystick",
                "version": "1",
                "chainId": int(VECTORS["domain"]["chainId"]),
                "verifyingContract": VECTORS["domain"]["verifyingContract"],
            },
            "message": {
                name: int(value) if kind.startswith("uint") else value
                for (kind, name), value in zip(
                    fields_of(Finding.TYPE), entry["message"].values(), strict=True
                )
            },
        }
    )

    assert to_hex(finding.struct_hash()) == entry["structHash"] == "0x" + signable.body.hex()
    assert entry["digest"] == "0x" + _hash_eip191_message(signable).hex()


@pytest.mark.parametrize("entry", VECTORS["tokens"])
def test_output_tokens_have_one_hash(entry: dict[str, Any]) -> None:
    ids, logprobs = entry["ids"], entry["logprobs"]
    expected = bytes(32)
    if ids:
        doubles = b"".join(struct.pack(">d", value) for value in logprobs)
        scored = keccak(doubles) if logprobs else bytes(32)
        expected = keccak(keccak(b"".join(value.to_bytes(4, "big") for value in ids)) + scored)

    assert to_hex(tokens_hash(ids, logprobs)) == entry["tokensHash"] == to_hex(expected)


@pytest.mark.parametrize("entry", VECTORS["draws"])
def test_draws_can_be_repeated(entry: dict[str, Any]) -> None:
    block, receipt, sequence = (
        hash32(entry["blockHash"]),
        hash32(entry["receiptHash"]),
        int(entry["sequence"]),
    )
    number = int.from_bytes(keccak(block + receipt), "big")

    assert share(sequence) == int(entry["share"])
    assert is_drawn(block, receipt, sequence) is entry["drawn"]
    assert entry["drawn"] is (Fraction(number, 2**256) < Fraction(int(entry["share"]), 1_000_000))


def test_the_share_is_the_one_promised() -> None:
    for sequence in range(400):
        exact = max(0.01, 0.2 * 2 ** (-sequence / 50))
        assert share(sequence) / 1e6 == pytest.approx(exact, abs=2e-6)


def test_answers_are_weighed_as_written() -> None:
    text = VECTORS["scales"]["text"].encode()
    assert to_hex(keccak(text)) == VECTORS["scales"]["hash"]
    data = json.loads(text)["checks"]["rank"]
    scale, evidence = Scales.read(text).checks[Check.RANK], Evidence()
    sums, highest = dict.fromkeys(data["weights"], 0), 0
    for answer in VECTORS["scales"]["answers"]:
        evidence = evidence.after(scale, answer["distances"])
        for kind, weights in data["weights"].items():
            added = sum(weights[sum(d > edge for edge in data["edges"])] for d in answer["distances"])
            sums[kind] = max(0, sums[kind]) + added
        highest = max(highest, *sums.values())
        assert dict(evidence.sums) == answer["sums"] == sums
        assert (evidence.tokens, evidence.highest) == (answer["tokens"], answer["highest"])
        assert answer["highest"] == highest
