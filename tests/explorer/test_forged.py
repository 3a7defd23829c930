"""Payer and provider in league: what they sign makes the explorer's figures no larger than what was paid, and
what the chain takes back counts no more."""

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from fastapi.testclient import TestClient

from tallystick.protocol.audit import check, verdict
from tallystick.protocol.documents import ReceiptDocument, document_to_json, proofs
from tallystick.protocol.facts import facts_from_json
from tallystick.protocol.merkle import root
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import sign
from tallystick.protocol.units import Atoms, Hash32, to_hex
from tallystick.protocol.voucher import Acknowledgement, Voucher
from tallystick_node.explorer.queries import facts

from .halves import Half, Held
from .indexing import index
from .test_audit import posted


def settle_anything(held: Held, half: Half, receipts: list[Receipt], amount: int) -> list[ReceiptDocument]:
    """Both sides sign whatever these say; the chain sees the amount and a hash."""
    signed = [sign(item, held.deployment.domain, held.receipt_key).signed for item in receipts]
    acknowledgement = Acknowledgement(
        receipt_count=len(receipts), receipts_root=root([item.struct_hash() for item in receipts])
    )
    voucher = Voucher(
        channel_id=half.key.id, cumulative_amount=Atoms(amount), acknowledgement=acknowledgement
    )
    held.provider.market.settle([(half.key, sign(voucher, held.deployment.domain, half.session).signed)])
    return proofs(held.deployment.domain, signed, [acknowledgement])


def reindexed(held: Held, path: Path) -> None:
    asyncio.run(index(held, f"sqlite+aiosqlite:///{path}"))


def sold(client: TestClient) -> Any:
    return client.get("/api/overview").json()["sold"]


def test_the_same_atoms_are_not_explained_twice(held: Held, auditor: TestClient, tmp_path: Path) -> None:
    half = held._open(held.payers[0])
    held.work(half, 6)
    cost = half.receipts[0].message.cost
    same = [replace(item.message, cumulative_cost=cost) for item in half.receipts]
    documents = settle_anything(held, half, same, cost)
    reindexed(held, tmp_path / "held.db")

    done = [posted(auditor, "/api/receipts", [document_to_json(item)]) for item in documents[:3]]
    done.append(posted(auditor, "/api/receipts", [document_to_json(item) for item in documents[3:]]))

    assert sum(item["kept"] for item in done) == 1
    assert {item["step"] for answer in done for item in answer["refused"]} == {"place"}
    found = sold(auditor)
    assert (found["receipts"], found["requests"], found["atoms"]) == (1, 1, str(cost))


def test_in_any_order_and_with_gaps_honest_ones_are_taken(held: Held, auditor: TestClient) -> None:
    documents = [document_to_json(item) for item in held.settled.documents()[:5]]

    kept = [posted(auditor, "/api/receipts", documents[place])["kept"] for place in (3, 0, 4)]
    rest = posted(auditor, "/api/receipts", [documents[2], documents[1]])

    assert (kept, rest["kept"], rest["refused"]) == ([1, 1, 1], 2, [])


def test_what_cost_nothing_is_bounded_by_what_was_paid(
    held: Held, auditor: TestClient, tmp_path: Path
) -> None:
    half = held._open(held.payers[0])
    held.work(half, 12, input_tokens=0, cached_input_tokens=0, output_tokens=0)
    assert half.tally.amount == 0
    documents = settle_anything(held, half, [item.message for item in half.receipts], 3)
    reindexed(held, tmp_path / "held.db")

    done = posted(auditor, "/api/receipts", [document_to_json(item) for item in documents])
    again = posted(auditor, "/api/receipts", [document_to_json(item) for item in documents])

    assert (done["kept"], len(done["refused"])) == (3, 9)
    assert (again["kept"], again["known"]) == (0, 3)
    assert sold(auditor)["requests"] == 3


def test_what_the_chain_takes_back_is_sold_no_more(held: Held, auditor: TestClient, tmp_path: Path) -> None:
    rpc, half = held.chain.rpc, held._open(held.payers[0])
    held.work(half, 4)
    snapshot = rpc.call("evm_snapshot")
    held.settle(half)
    reindexed(held, tmp_path / "held.db")
    before = sold(auditor)
    posted(auditor, "/api/receipts", [document_to_json(item) for item in half.documents()])
    rpc.call("anvil_mine", "0x1")
    reindexed(held, tmp_path / "held.db")
    assert sold(auditor)["requests"] == before["requests"] + 4

    rpc.call("evm_revert", snapshot)
    rpc.call("anvil_mine", "0x5")
    reindexed(held, tmp_path / "held.db")

    assert auditor.get(f"/api/channel/{to_hex(half.key.id)}").json()["channel"]["settled"] == "0"
    assert sold(auditor) == before


def test_a_close_is_explained_by_what_its_payer_acknowledged(held: Held, auditor: TestClient) -> None:
    """After the close the provider makes up receipts that come to what was paid."""
    half = held.closed
    acknowledged = half.receipts[:3]
    total = half.tally.amount - acknowledged[-1].message.cumulative_cost
    made_up = []
    for place, receipt in enumerate(half.receipts[3:], 3):
        message = replace(receipt.message, request_hash=Hash32(bytes([place]) * 32))
        made_up.append(sign(message, held.deployment.domain, held.receipt_key).signed)
    assert sum(item.message.cost for item in made_up) == total
    whole = document_to_json(replace(half.whole(), receipts=[*acknowledged, *made_up], voucher=None))

    forged = posted(auditor, "/api/audit", whole)
    honest = posted(auditor, "/api/audit", document_to_json(half.whole()))

    assert (forged["addsUp"], forged["unexplained"]) == (None, str(total))
    assert (honest["addsUp"], honest["unexplained"]) == (True, "0")


def test_a_provider_of_many_keys_makes_no_receipt_look_forged(
    held: Held, auditor: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names keys that it never uses, and then the one that it signs with."""
    document = document_to_json(held.settled.documents()[4])
    monkeypatch.setattr(facts, "_KEYS", 1)

    answer = auditor.post("/api/audit/receipt", content=orjson.dumps(document))

    assert (answer.status_code, answer.json().get("code")) == (413, "too-large"), answer.text
    monkeypatch.setattr(facts, "_KEYS", 2)
    (receipt,) = posted(auditor, "/api/audit/receipt", document)["receipts"]
    assert receipt["verdict"] == "paid"


def test_an_offer_that_is_no_utf_8_is_the_same_everywhere(
    held: Held, auditor: TestClient, tmp_path: Path
) -> None:
    """JSON cannot say it, and its hash is of what cannot be said."""
    with sqlite3.connect(tmp_path / "held.db") as db:
        (arguments,) = db.execute(
            "SELECT arguments FROM events WHERE name = 'OfferPosted' LIMIT 1"
        ).fetchone()
        offer = orjson.loads(arguments)
        offer["offer"]["model"] = "small\N{REPLACEMENT CHARACTER}"
        db.execute(
            "UPDATE events SET arguments = ? WHERE arguments = ?", (orjson.dumps(offer).decode(), arguments)
        )
        db.execute("UPDATE offers SET model = ? WHERE model = 'small-model'", (offer["offer"]["model"],))
    document = held.settled.documents()[0]
    receipt, acknowledgement = document.signed.message, document.acknowledgement
    assert acknowledgement is not None
    query = urlencode(
        {
            "offer": to_hex(receipt.offer_hash),
            "cumulative": receipt.cumulative_cost,
            "acknowledgement": to_hex(acknowledgement.struct_hash()),
        }
    )

    told = auditor.get(f"/api/audit/facts/{to_hex(receipt.channel_id)}?{query}").json()
    (by_server,) = posted(auditor, "/api/audit/receipt", document_to_json(document))["receipts"]

    by_browser = verdict(check(document, facts_from_json(told)))
    assert by_server["verdict"] == by_browser.value
