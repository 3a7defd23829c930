"""Whether a market came through a soak: what both halves hold, and how the gateways grew."""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from tallystick.protocol.receipt import Receipt
from tallystick.protocol.wire import read_receipt_text
from tallystick_node.local.audit import Check, PayersHalf, charged_twice
from tallystick_node.local.market import LocalMarket
from tallystick_node.local.soak.payers import TOKENS

_FLAT: Final = 1.10
"""The last quarter's memory over the third quarter's."""
_WARM: Final = 60
"""Samples, before which it is the start that is seen, with its new connections and channels."""


def halves_fit(half: PayersHalf, databases: Sequence[Path]) -> Check:
    """Every receipt that a provider issued is held by its payer, and no other is."""
    accepted = [item.receipt.message for item in half.held]
    issued: list[Receipt] = []
    for path in databases:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            texts = db.execute("SELECT text FROM receipts")
            issued += (read_receipt_text(text).message for (text,) in texts)
    payers = Counter(receipt.struct_hash() for receipt in accepted)
    providers = Counter(receipt.struct_hash() for receipt in issued)
    return Check(
        question="both halves of every tally are equal",
        holds=payers == providers,
        found=f"payers hold {len(accepted):,} receipts over {sum(r.cost for r in accepted):,} atoms, "
        f"providers {len(issued):,} over {sum(r.cost for r in issued):,}",
    )


def charged_once(half: PayersHalf) -> Check:
    requests = {(item.receipt.message.channel_id, item.nonce) for item in half.held}
    twice = charged_twice(half.held, TOKENS)
    return Check(
        question="no request was charged twice",
        holds=not twice and bool(requests),
        found=f"{len(requests):,} requests, {len(twice)} charged twice",
    )


def all_acknowledged(half: PayersHalf, left_open: int) -> Check:
    missing = sum(not item.acknowledged for item in half.held)
    return Check(
        question="everything is acknowledged",
        holds=not missing and not left_open,
        found=f"{missing} receipts are not, {left_open} purses are not done",
    )


def memory_flat(samples: Sequence[int]) -> Check:
    """Of the gateway that was spared, in bytes, at equal distances. A short run is not judged by it."""
    quarter, short = max(1, len(samples) // 4), len(samples) < _WARM
    before, after = fmean(samples[-2 * quarter : -quarter]), fmean(samples[-quarter:])
    return Check(
        question="the spared gateway's memory is flat",
        holds=short or after <= _FLAT * before,
        found=f"{samples[0] / 2**20:.1f} MiB at the start, {before / 2**20:.1f} in the third quarter, "
        f"{after / 2**20:.1f} in the last{', too short a run to judge' if short else ''}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Of one provider's database, closed."""

    requests: int
    size: int
    """Bytes."""

    @classmethod
    def of(cls, path: Path) -> "Growth":
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            (requests,) = db.execute("SELECT count(*) FROM requests").fetchone()
        return cls(requests=requests, size=path.stat().st_size)


def databases_of(market: LocalMarket) -> list[Path]:
    return [provider.config.with_name("node.db") for provider in market.providers]


def growth(paths: Sequence[Path]) -> Mapping[str, Any]:
    found = [Growth.of(path) for path in paths]
    requests, size = sum(item.requests for item in found), sum(item.size for item in found)
    return {"requests": requests, "bytes": size, "bytes_a_request": round(size / max(1, requests))}
