"""What audits are made of: hashes of output tokens, draws, findings, and what a scale makes of distances.

`scripts/vectors` writes them into audits.json. docs/spec.md, sections 1 and 11, says how each is made;
`tests/unit/test_audits_vectors.py` makes it anew from there, by nothing of ours.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from tallystick.protocol.eip712 import Domain, digest, keccak
from tallystick.protocol.evidence import Evidence, Scales
from tallystick.protocol.finding import Check, Finding, Verdict
from tallystick.protocol.lottery import is_drawn, share
from tallystick.protocol.transcript import tokens_hash
from tallystick.protocol.units import ZERO_ADDRESS, ZERO_HASH, to_hex


def hash_of(label: str) -> Any:
    return keccak(b"tallystick audits " + label.encode())


DOMAIN = Domain(chain_id=31337, contract=hash_of("market")[:20])
SCALES = orjson.dumps(
    {
        "model": "made up",
        "precision": "float16",
        "sampler": "none",
        "ends": [1],
        "likelihood": {"mean": -2.5, "deviation": 2.0, "alarm": 5.0},
        "checks": {
            "rank": {
                "edges": [0, 10_000, 100_000],
                "weights": {
                    "cut": [-25_000, 0, 3_000_000, 7_000_000],
                    "worse": [-300_000, 1, 2_000_000, 3_000_000],
                },
                "strike": 18_400_000,
            }
        },
    }
)


def findings() -> Iterator[Finding]:
    usual = Finding(
        auditor=hash_of("auditor")[:20],
        provider=hash_of("provider")[:20],
        receipt_hash=hash_of("receipt"),
        receipts_root=hash_of("root"),
        receipt_count=7,
        scales_hash=keccak(SCALES),
        check=Check.RANK,
        verdict=Verdict.STRIKE,
        tokens=1_204,
        evidence=18_400_001,
        found_at=1_790_000_003_412,
    )
    yield usual
    yield replace(usual, check=Check.NONE, verdict=Verdict.CLEAR, evidence=0)
    yield Finding(
        auditor=ZERO_ADDRESS,
        provider=ZERO_ADDRESS,
        receipt_hash=ZERO_HASH,
        receipts_root=ZERO_HASH,
        receipt_count=0,
        scales_hash=ZERO_HASH,
        check=0,
        verdict=0,
        tokens=0,
        evidence=0,
        found_at=0,
    )
    full: Any = b"\xff" * 32
    yield Finding(
        auditor=full[:20],
        provider=full[:20],
        receipt_hash=full,
        receipts_root=full,
        receipt_count=(1 << 32) - 1,
        scales_hash=full,
        check=255,
        verdict=255,
        tokens=(1 << 64) - 1,
        evidence=(1 << 64) - 1,
        found_at=(1 << 64) - 1,
    )


def tokens() -> Iterator[tuple[list[int], list[float]]]:
    yield [], []
    yield [0], []
    yield [0], [0.0]
    yield [0], [-0.0]
    yield [1, 2, 3, 4], []
    yield [1, 2, 3, 4], [-0.5, -2.0, -9999.0, -1e-7]
    yield [(1 << 32) - 1], [-1e9]


def draws() -> Iterator[dict[str, Any]]:
    block = hash_of("block")
    for sequence in (0, 1, 49, 50, 51, 100, 216, 217, 1_000, (1 << 64) - 1):
        for i in range(40):
            receipt = hash_of(f"receipt {i}")
            if i < 2 or is_drawn(block, receipt, sequence):
                yield {
                    "blockHash": to_hex(block),
                    "receiptHash": to_hex(receipt),
                    "sequence": str(sequence),
                    "share": str(share(sequence)),
                    "drawn": is_drawn(block, receipt, sequence),
                }


def weighed() -> list[dict[str, Any]]:
    scale = Scales.read(SCALES).checks[Check.RANK]
    evidence, said = Evidence(), []
    for distances in ([], [0] * 40, [0, 10_000, 10_001], [100_000], [100_001, 0, 0], [5_000_000] * 2):
        evidence = evidence.after(scale, distances)
        said.append(
            {
                "distances": distances,
                "sums": dict(evidence.sums),
                "tokens": evidence.tokens,
                "highest": evidence.highest,
            }
        )
    return said


def audits_cases() -> dict[str, Any]:
    return {
        "domain": {"chainId": str(DOMAIN.chain_id), "verifyingContract": to_hex(DOMAIN.contract)},
        "findings": [
            {
                "message": one.to_json(),
                "structHash": to_hex(one.struct_hash()),
                "digest": to_hex(digest(DOMAIN, one.struct_hash())),
            }
            for one in findings()
        ],
        "tokens": [
            {"ids": ids, "logprobs": logprobs, "tokensHash": to_hex(tokens_hash(ids, logprobs))}
            for ids, logprobs in tokens()
        ],
        "draws": list(draws()),
        "scales": {"text": SCALES.decode(), "hash": to_hex(keccak(SCALES)), "answers": weighed()},
    }
