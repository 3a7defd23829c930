"""A short soak comes through, and what it is judged by can fail. The long one is `scripts/soak`."""

import json
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import pytest

from tallystick.client.holdings import HeldReceipt
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import ZERO_ADDRESS, Milliseconds, Tokens
from tallystick.protocol.wire import receipt_text
from tallystick_node.local.audit import PayersHalf
from tallystick_node.local.bench.samples import DOMAIN, receipt_of
from tallystick_node.local.soak.trouble import Kind, troubles
from tallystick_node.local.soak.verdict import all_acknowledged, charged_once, halves_fit, memory_flat

REPOSITORY = Path(__file__).parents[2]
KEY = Key(b"\1" * 32)


@pytest.mark.alone
@pytest.mark.e2e
def test_a_market_whose_parts_are_killed_adds_up(tmp_path: Path) -> None:
    found = tmp_path / "soak.json"
    command = [REPOSITORY / "scripts" / "soak", "--minutes", "0.5", "--processes", "4", "--json", found]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-3000:]
    report = json.loads(found.read_text())
    assert [check["question"] for check in report["checks"] if not check["holds"]] == []
    assert report["database"]["requests"] > 100
    assert len(report["rss"]) > 5


def held(*, output_tokens: int = 24, nonce: int = 1, acknowledged: bool = True) -> HeldReceipt:
    receipt = replace(receipt_of(KEY, sequence=0, cumulative_cost=196), output_tokens=Tokens(output_tokens))
    return HeldReceipt(
        receipt=sign(receipt, DOMAIN, KEY).signed,
        provider=ZERO_ADDRESS,
        model="echo",
        nonce=nonce,
        acknowledged=acknowledged,
        received_at=Milliseconds(0),
    )


def test_a_second_bill_for_one_nonce_is_found() -> None:
    assert charged_once(PayersHalf([held(nonce=1), held(nonce=2)], [])).holds
    assert not charged_once(PayersHalf([held(nonce=1), held(nonce=1)], [])).holds
    assert not charged_once(PayersHalf([held(output_tokens=25)], [])).holds
    assert not charged_once(PayersHalf([], [])).holds


def test_a_receipt_that_is_not_acknowledged_is_found() -> None:
    assert all_acknowledged(PayersHalf([held()], []), 0).holds
    assert not all_acknowledged(PayersHalf([held(), held(acknowledged=False)], []), 0).holds
    assert not all_acknowledged(PayersHalf([held()], []), 1).holds


def test_a_receipt_that_only_its_provider_holds_is_found(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE receipts (text TEXT)")
        db.execute("INSERT INTO receipts VALUES (?)", (receipt_text(held().receipt),))
    assert halves_fit(PayersHalf([held()], []), [path]).holds
    assert not halves_fit(PayersHalf([], []), [path]).holds
    assert not halves_fit(PayersHalf([held(), held()], []), [path]).holds
    assert not halves_fit(PayersHalf([held(output_tokens=23)], []), [path]).holds  # At the same cost.


def test_memory_that_grows_is_found() -> None:
    assert memory_flat([90, 120, *[140] * 30, *[143] * 40]).holds
    assert not memory_flat(range(90, 190)).holds
    assert memory_flat(range(90, 120)).holds  # Too short to tell.


def test_troubles_can_be_had_again_and_each_kind_comes() -> None:
    def plan(seed: int) -> list[object]:
        return list(islice(troubles(seed, gateways=5, processes=10), 50))

    assert plan(1) == plan(1) != plan(2)
    first = list(islice(troubles(1, gateways=5, processes=10), 50))
    assert {item.kind for item in first[:4]} == set(Kind)
    assert {item.whom for item in first if item.kind is Kind.GATEWAY_KILLED} <= set(range(4))
    assert all(before.at_s < after.at_s for before, after in pairwise(first))
