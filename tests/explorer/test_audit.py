"""Receipts verified, channels audited, receipts published: over HTTP, against a real chain's index."""

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from fastapi import Request
from fastapi.testclient import TestClient

from tallystick.chain.market import Asset, Market
from tallystick.chain.record import Record
from tallystick.protocol.documents import document_to_json
from tallystick.protocol.facts import facts_to_json
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import Atoms, to_hex
from tallystick_node.explorer.audit import intake
from tallystick_node.explorer.database import reading, writing
from tallystick_node.explorer.errors import Malformed, TooLarge, Unavailable
from tallystick_node.explorer.pages import audits
from tallystick_node.explorer.queries import facts
from tallystick_node.explorer.site import Site

from .conftest import asked, asked_without_index
from .halves import Held, bad_ones
from .indexing import index

FORM = {"content-type": "application/x-www-form-urlencoded"}


def posted(client: TestClient, path: str, data: Any) -> Any:
    answer = client.post(path, content=orjson.dumps(data))
    assert answer.status_code == 200, answer.text
    return answer.json()


def form(client: TestClient, path: str, **fields: str) -> Any:
    return client.post(path, content=urlencode(fields), headers=FORM)


def verified(client: TestClient, document: Any) -> Any:
    (receipt,) = posted(client, "/api/audit/receipt", document_to_json(document))["receipts"]
    return receipt


def first_bad(receipt: Any) -> str:
    return next(step["name"] for step in receipt["steps"] if step["holds"] is False)


def by_names(path: Path) -> dict[str, int]:
    with sqlite3.connect(path) as db:
        return {
            name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in ("receipts", "published")
        }


# ------------------------------------------------------------------------------------- one receipt


def test_receipts_that_were_paid_are_shown_to_be(held: Held, auditor: TestClient) -> None:
    settled = [verified(auditor, document) for document in held.settled.documents()]
    closed = [verified(auditor, document) for document in held.closed.documents()]

    assert [item["verdict"] for item in settled] == ["paid"] * 5 + ["unpaid"] * 2
    assert [item["verdict"] for item in closed] == ["paid"] * 5
    paid_in = [item["steps"][-1]["inputs"]["paidInBlock"] for item in settled[:5]]
    assert paid_in == sorted(paid_in)
    assert len({*paid_in}) == 2
    assert "closed, by both sides" in closed[4]["steps"][-1]["reason"]
    assert "Not paid yet" in settled[5]["steps"][-1]["reason"]


def test_each_bad_one_is_bad_at_its_step_on_every_way(held: Held, auditor: TestClient) -> None:
    for name, (document, step) in bad_ones(held).items():
        receipt = verified(auditor, document)
        assert (receipt["verdict"], first_bad(receipt)) == ("bad", step), name
        page = form(auditor, "/verify", document=orjson.dumps(document_to_json(document)).decode())
        assert page.status_code == 200
        assert 'data-verdict="bad"' in page.text, name
        assert f'<li class="bad" data-step="{step}">' in page.text, name


def test_the_page_works_without_scripts(held: Held, auditor: TestClient) -> None:
    assert "Check by this server" in auditor.get("/verify").text
    text = orjson.dumps(document_to_json(held.settled.documents()[2])).decode()

    page = form(auditor, "/verify", document=text)

    assert 'data-verdict="paid"' in page.text
    assert page.text.count('<li class="good"') == 8
    assert "connect-src 'self' https:" in page.headers["content-security-policy"]


def test_a_channel_s_document_is_taken_apart(held: Held, auditor: TestClient) -> None:
    found = posted(auditor, "/api/audit/receipt", document_to_json(held.settled.whole()))["receipts"]

    assert [item["verdict"] for item in found] == ["paid"] * 5 + ["unpaid"] * 2
    page = form(auditor, "/verify", document=orjson.dumps(document_to_json(held.settled.whole())).decode())
    assert page.text.count("<summary><span") == 7


@pytest.mark.parametrize("text", ["", "x", "{", "[" * 5_000, '{"tallystick": "channel/1"}', "<b>&"])
def test_what_is_no_document_is_said(auditor: TestClient, text: str) -> None:
    page = form(auditor, "/verify", document=text)

    assert page.status_code == 400
    assert "not checked" in page.text
    assert auditor.post("/api/audit/receipt", content=text).status_code == 400


def test_what_is_json_and_no_receipt_fails_at_the_format(auditor: TestClient) -> None:
    for data in ({}, 7, None, "x", {"tallystick": "receipt/9"}):
        (receipt,) = posted(auditor, "/api/audit/receipt", data)["receipts"]
        assert (receipt["verdict"], first_bad(receipt), receipt["receiptHash"]) == ("bad", "format", None)
    assert posted(auditor, "/api/audit/receipt", [])["receipts"] == []


def test_bodies_are_bounded(auditor: TestClient) -> None:
    for path, most in (
        ("/api/audit/receipt", intake.BODY),
        ("/api/audit", intake.BODY),
        ("/api/receipts", 1 << 20),
    ):
        answer = auditor.post(path, content=b" " * (most + 1))
        assert (answer.status_code, answer.json()["code"]) == (413, "too-large"), path
    assert form(auditor, "/verify", document=" " * (intake.BODY + 1)).status_code == 413
    assert auditor.post("/api/audit", content=orjson.dumps([{}] * 5_001)).status_code == 413
    assert auditor.post("/verify", content=b"x").status_code == 400


def test_hostile_words_are_shown_and_not_run(held: Held, auditor: TestClient) -> None:
    data = document_to_json(held.settled.documents()[0])
    data["receipt"]["cost"] = "<script>alert(1)</script>"

    page = form(auditor, "/verify", document=orjson.dumps(data).decode())

    assert "<script>alert(1)" not in page.text
    assert "Receipt.cost is not a uint128." in page.text


# ------------------------------------------------------------------------------------- the chain's word


def test_the_index_says_what_the_chain_says(held: Held, auditor: TestClient) -> None:
    record = Record(Market(held.chain.rpc, held.deployment))
    for half in (held.settled, held.closed):
        for document in half.documents():
            receipt, acknowledgement = document.signed.message, document.acknowledgement
            assert acknowledgement is not None
            query = urlencode(
                {
                    "offer": to_hex(receipt.offer_hash),
                    "cumulative": receipt.cumulative_cost,
                    "acknowledgement": to_hex(acknowledgement.struct_hash()),
                }
            )
            told = auditor.get(f"/api/audit/facts/{to_hex(half.key.id)}?{query}").json()
            known = facts_to_json(record.facts(half.key.id, [receipt.offer_hash]))
            assert told | {"settlements": None} == known | {"settlements": None}
            assert [item for item in known["settlements"] if item in told["settlements"]] == told[
                "settlements"
            ]
            assert told["settlements"][-1] == known["settlements"][-1]


@pytest.mark.parametrize("query", ["", "?offer=0x00", f"?offer=0x{'0' * 64}&cumulative=-1", "?offer=x"])
def test_facts_of_nothing(auditor: TestClient, query: str) -> None:
    assert auditor.get(f"/api/audit/facts/0x{'0' * 64}{query}").status_code == 400


# ------------------------------------------------------------------------------------- audits


def test_a_channel_and_all_of_them_add_up(held: Held, auditor: TestClient) -> None:
    documents = [document_to_json(held.settled.whole()), document_to_json(held.closed.whole())]

    audit = posted(auditor, "/api/audit", documents)

    total = held.settled.tally.amount + held.closed.tally.amount
    assert audit["addsUp"] is True
    assert (audit["receipts"], audit["amount"]) == (12, str(total))
    assert audit["unexplained"] == "0"
    assert int(audit["settled"]) + int(audit["unsettled"]) == total
    page = form(auditor, "/audit", documents=orjson.dumps(documents).decode())
    assert page.text.count("adds up") == 3
    assert "closed the channel at" in page.text


def test_gaps_doubles_and_overcharges_are_named(held: Held, auditor: TestClient) -> None:
    whole = document_to_json(held.settled.whole())
    gap = {**whole, "receipts": whole["receipts"][:1] + whole["receipts"][2:]}
    assert _faults(auditor, gap) == {"gap"}
    again = {**whole, "receipts": [*whole["receipts"], *whole["receipts"]]}
    assert posted(auditor, "/api/audit", again)["addsUp"] is True
    twin = document_to_json(bad_ones(held)["overcharged"][0])
    assert _faults(auditor, [whole, twin]) == {"double"}
    assert "overcharged" in _faults(auditor, twin)
    forged = document_to_json(bad_ones(held)["forged"][0])
    assert _faults(auditor, forged) == {"forged"}
    page = form(auditor, "/audit", documents=orjson.dumps([whole, twin]).decode())
    assert 'data-fault="double"' in page.text
    assert "does not add up" in page.text


def _faults(client: TestClient, data: Any) -> set[str]:
    audit = posted(client, "/api/audit", data)
    assert audit["addsUp"] is not True
    return {fault["kind"] for channel in audit["channels"] for fault in channel["faults"]}


def test_documents_of_another_market_are_refused(held: Held, auditor: TestClient) -> None:
    document = document_to_json(bad_ones(held)["another chain"][0])

    assert auditor.post("/api/audit", content=orjson.dumps(document)).status_code == 400
    page = form(auditor, "/audit", documents=orjson.dumps(document).decode())
    assert (page.status_code, "another market" in page.text) == (400, True)


def test_the_market_is_audited_at_any_block(held: Held, auditor: TestClient) -> None:
    now = auditor.get("/api/audit/market").json()
    assert now["conserved"] is True
    assert now["held"] == now["owed"] != "0"
    assert auditor.get(f"/api/audit/market?block={now['block']}").json() == now
    before = auditor.get(f"/api/audit/market?block={held.deployment.block - 1}").json()
    nothing = {"held": "0", "owed": "0", "balance": None, "conserved": True}
    for name in ("duels", "audits"):
        nothing |= {f"{name}Held": "0", f"{name}Owed": "0", f"{name}Burnt": "0", f"{name}Balance": None}
    assert before == {"block": held.deployment.block - 1, **nothing}
    figures = set()
    for block in range(held.deployment.block, now["block"] + 1):
        at = auditor.get(f"/api/audit/market?block={block}").json()
        assert (at["conserved"], at["block"], at["held"]) == (True, block, at["owed"])
        figures.add(at["held"])
    assert len(figures) > 3
    assert auditor.get(f"/api/audit/market?block={now['block'] + 1}").status_code == 404
    assert auditor.get("/api/audit/market?block=-1").status_code == 400
    assert "conserved" in auditor.get("/audit/market").text
    assert "conserved" in auditor.get("/audit").text


# ------------------------------------------------------------------------------------- publication


def test_what_was_paid_is_published_once(held: Held, auditor: TestClient, tmp_path: Path) -> None:
    documents = [document_to_json(item) for item in (*held.settled.documents(), *held.closed.documents())]

    first = posted(auditor, "/api/receipts", documents)
    again = posted(auditor, "/api/receipts", documents)

    assert (first["kept"], first["known"], len(first["refused"])) == (10, 0, 2)
    assert {item["step"] for item in first["refused"]} == {"settlement"}
    assert (again["kept"], again["known"], len(again["refused"])) == (0, 10, 2)
    assert by_names(tmp_path / "held.db") == {"receipts": 10, "published": 2}
    page = auditor.get(f"/receipt/{to_hex(held.settled.key.id)}/2")
    assert page.status_code == 200
    assert "<script>alert(1)" not in page.text
    with sqlite3.connect(tmp_path / "held.db") as db:
        row = db.execute(
            "SELECT receipts, requests, cost FROM published WHERE channel_id = ?", (held.settled.key.id,)
        ).fetchone()
    assert row[:2] == (5, 3)
    assert int(row[2]) == held.settled.receipts[4].message.cumulative_cost


def test_published_receipts_explain_what_was_settled(held: Held, auditor: TestClient) -> None:
    channel, provider = to_hex(held.settled.key.id), to_hex(held.provider.address)
    before = auditor.get(f"/api/audit/channel/{channel}").json()
    assert (before["addsUp"], before["explained"]) == (None, "0")

    posted(auditor, "/api/receipts", [document_to_json(item) for item in held.settled.documents()[:5]])

    after = auditor.get(f"/api/audit/channel/{channel}").json()
    assert (after["addsUp"], after["unexplained"]) == (True, "0")
    whole = auditor.get(f"/api/audit/provider/{provider}").json()
    assert whole["addsUp"] is None
    assert whole["explained"] == after["settled"]
    assert len(whole["channels"]) == 2
    assert auditor.get(f"/audit?channel={channel}").text.count("adds up") == 2
    assert "not all was given" in auditor.get(f"/audit?provider={provider}").text
    assert auditor.get(f"/api/audit/channel/0x{'1' * 64}").status_code == 404
    assert auditor.get(f"/api/audit/provider/0x{'1' * 40}").status_code == 404
    assert auditor.get("/audit?channel=x").status_code == 400


def test_nothing_bad_is_ever_kept(held: Held, auditor: TestClient, tmp_path: Path) -> None:
    bad = [document_to_json(document) for document, _ in bad_ones(held).values()]

    answer = posted(auditor, "/api/receipts", bad)

    assert (answer["kept"], answer["known"], len(answer["refused"])) == (0, 0, len(bad))
    assert [item["step"] for item in answer["refused"]] == [step for _, step in bad_ones(held).values()]
    assert by_names(tmp_path / "held.db")["receipts"] == 0


def test_a_channel_s_document_and_too_many_are_not_published(held: Held, auditor: TestClient) -> None:
    whole = document_to_json(held.settled.whole())
    one = document_to_json(held.settled.documents()[0])

    for data, status in ((whole, 400), ([one, whole], 400), ([one] * 201, 413), ({}, 400)):
        assert auditor.post("/api/receipts", content=orjson.dumps(data)).status_code == status
    again = posted(auditor, "/api/receipts", [one] * 3)
    assert (again["kept"], again["known"]) == (1, 2)


def test_without_an_index_a_browser_can_verify_all_the_same(site: Site, tmp_path: Path) -> None:
    with asked_without_index(site, tmp_path) as alone:
        assert "Check in this browser" in alone.get("/verify").text
        assert form(alone, "/verify", document="{}").status_code == 503


def test_where_nothing_can_be_written_nothing_is_published(client: TestClient) -> None:
    assert client.post("/api/receipts", content=b"[]").status_code == 503


def test_a_key_that_was_never_named_publishes_nothing(held: Held, auditor: TestClient) -> None:
    document = held.settled.documents()[0]
    message = document.signed.message
    signed = sign(message, held.deployment.domain, Key.generate()).signed
    data = document_to_json(document) | {"signature": to_hex(signed.signature)}

    answer = posted(auditor, "/api/receipts", data)

    assert [item["step"] for item in answer["refused"]] == ["signature"]


# ------------------------------------------------------------------------------------- bounds, addresses


def test_a_published_receipt_is_verified_at_an_address(held: Held, auditor: TestClient) -> None:
    posted(auditor, "/api/receipts", [document_to_json(item) for item in held.settled.documents()[:3]])
    channel = to_hex(held.settled.key.id)

    page = auditor.get(f"/verify?channel={channel}&sequence=2")

    assert 'data-verdict="paid"' in page.text
    assert "&#34;tallystick&#34;: &#34;receipt/1&#34;" in page.text
    paid_in = verified(auditor, held.settled.documents()[2])["steps"][-1]["inputs"]["paidIn"]
    assert f'href="/tx/{paid_in}"' in page.text
    link = f"/verify?channel={channel}&amp;sequence=2"
    assert link in auditor.get(f"/receipt/{channel}/2").text
    assert auditor.get(f"/verify?channel={channel}&sequence=9").status_code == 404
    assert auditor.get("/verify?channel=0x00").status_code == 400


def test_a_provider_s_page_says_where_it_ends(
    held: Held, auditor: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = to_hex(held.provider.address)
    monkeypatch.setattr(audits, "_PAYMENTS", 1)
    few = auditor.get(f"/api/audit/provider/{provider}").json()
    assert (len(few["channels"]), few["more"]) == (1, True)
    monkeypatch.setattr(facts, "SETTLEMENTS", 1)
    answer = auditor.get(f"/api/audit/channel/{to_hex(held.settled.key.id)}")
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


async def test_only_so_much_is_looked_at_and_held_at_a_time() -> None:
    taken = intake.Intake()
    looked_at, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def send(size: int) -> None:
        async with taken.body(request(size)) as raw:
            assert len(raw) == size
            looked_at.release()
            await go_on.wait()

    sending = [asyncio.ensure_future(send(10)) for _ in range(10)]
    for _ in range(2):
        await looked_at.acquire()
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await send(1)
    go_on.set()
    await asyncio.gather(*sending)
    await send(intake.BODY)
    with pytest.raises(TooLarge):
        await send(intake.BODY + 1)


async def test_slow_and_many_senders_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = intake.Intake()
    monkeypatch.setattr(intake, "_HELD", 100)
    with pytest.raises(Unavailable):
        async with taken.body(request(101)):
            raise AssertionError
    async with taken.body(request(100)):
        pass
    monkeypatch.setattr(intake, "_READ_S", 0.01)
    with pytest.raises(Malformed):
        async with taken.body(request(10, ends=False)):
            raise AssertionError
    async with taken.body(request(100)):
        pass


def request(size: int, *, ends: bool = True) -> Request:
    messages = [{"type": "http.request", "body": b"x" * size, "more_body": not ends}]

    async def receive() -> Any:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


def test_channels_of_many_payments_come_to_the_same(
    held: Held, auditor: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [*held.settled.documents(), *held.closed.documents()]
    documents += [document for document, _ in bad_ones(held).values()]
    data = [document_to_json(document) for document in documents]
    shared = posted(auditor, "/api/audit/receipt", data)
    monkeypatch.setattr(facts, "_FEW", 0)

    assert posted(auditor, "/api/audit/receipt", data) == shared


def test_what_no_database_holds_is_refused_and_the_rest_is_kept(held: Held, tmp_path: Path) -> None:
    """A provider may sign any 64 bits as a time, and a payer in league with it may have that settled."""
    half = held.settled
    receipt = replace(half.receipts[0].message, sequence=half.tally.count, finished_at=1 << 63)
    receipt = replace(receipt, cumulative_cost=Atoms(half.tally.amount + receipt.cost))
    half.tally = half.tally.append(receipt)
    half.receipts.append(sign(receipt, held.deployment.domain, held.receipt_key).signed)
    held.settle(half, nonce=9)
    url = f"sqlite+aiosqlite:///{tmp_path / 'held.db'}"
    asyncio.run(index(held, url))
    site = Site(
        database=reading(url),
        writing=writing(url),
        deployment=held.deployment,
        asset=Asset(symbol="TUSD", decimals=6),
    )
    with asked(site) as client:
        found = posted(client, "/api/receipts", [document_to_json(item) for item in half.documents()])
        assert client.portal is not None
        assert site.writing is not None
        client.portal.call(site.writing.dispose)
    (refused,) = found["refused"]
    assert (found["kept"], refused["step"]) == (7, "range")
    assert str(1 << 63) in refused["reason"]
