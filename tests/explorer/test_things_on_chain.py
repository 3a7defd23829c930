"""The pages of single things over a real chain that ran every kind of trade, with its node behind them."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tallystick.chain.market import Asset
from tallystick.chain.rpc import Rpc
from tallystick.protocol.documents import document_to_json
from tallystick.protocol.units import Atoms
from tallystick_node.explorer.database import reading
from tallystick_node.explorer.node import Node
from tallystick_node.explorer.site import Site

from .conftest import asked
from .halves import Held
from .test_hostile import Markup
from .trading import Traded

NO_PAGES = ("/live", "/static/", "/contract/", "/api/", "/verify?")
"""A stream, files, sources, twins, and what is tested where it is made."""
STARTS = ("/blocks", "/transactions", "/accounts", "/providers", "/channels", "/settlements", "/disputes")


@pytest.fixture
def client(traded: Traded, traded_db: Path) -> Iterator[TestClient]:
    site = Site(
        database=reading(f"sqlite+aiosqlite:///{traded_db}"),
        deployment=traded.deployment,
        asset=Asset(symbol="TUSD", decimals=6),
        node=Node(Rpc(traded.chain.rpc.url)),
    )
    with asked(site) as client:
        yield client


def links(text: str) -> set[str]:
    found = (attributes.get("href") or "" for tag, attributes in Markup(text).tags if tag == "a")
    return {link for link in found if link.startswith("/")}


def kind_of(path: str) -> tuple[str, ...]:
    """Which page it is, and what is asked of it."""
    page, _, query = path.partition("?")
    return page.split("/")[1], *sorted(name.partition("=")[0] for name in query.split("&"))


def test_every_link_leads_somewhere_and_every_page_has_its_twins(client: TestClient) -> None:
    """Of links that ask something, the first of its kind on each kind of page: the others differ in words."""
    seen: set[str] = set()
    asked: set[tuple[tuple[str, ...], tuple[str, ...]]] = set()
    waiting = ["/"]
    while waiting:
        path = waiting.pop()
        answer = client.get(path)
        if answer.status_code == 404 and "was never posted" in answer.text:
            continue  # A proof of fraud may name such an offer.
        assert answer.status_code == 200, f"{path}: {answer.text}"
        for link in sorted(links(answer.text) - seen):
            question = kind_of(path), kind_of(link)
            if "?" in link and question in asked:
                continue
            asked.add(question)
            seen.add(link)
            if link.startswith(f"/api{path.split('?')[0]}"):
                assert client.get(link).status_code == 200, link
            elif not link.startswith(NO_PAGES):
                waiting.append(link)
    kinds = {link.split("/")[1] for link in seen}
    things = {"block", "tx", "account", "provider", "channel", "settlement", "model", "offer"}
    assert things | {"verify", "audit", "contract", "api", "hours"} <= kinds
    assert len(seen) > 100


def test_a_settle_call_shows_what_came_of_each_row(client: TestClient, traded: Traded) -> None:
    sent = [row for row in client.get("/api/transactions").json()["rows"] if row["call"] == "settle"]
    page = client.get(f"/api/tx/{sent[-1]['hash']}").json()
    assert [(row["paid"], row["skipped"]) for row in page["rows"]] == [("3000000", None), ("1000000", None)]
    assert [row["row"]["channelId"] for row in page["rows"]] == [
        f"0x{traded.channels[number].id.hex()}" for number in (0, 2)
    ]
    later = client.get(f"/api/tx/{sent[-2]['hash']}").json()
    assert [(row["paid"], row["skipped"]) for row in later["rows"]] == [
        ("2000000", None),
        (None, "NOT_GREATER"),
    ]
    text = client.get(f"/tx/{sent[-2]['hash']}").text
    assert "no more than is settled, or granted, already" in text


def test_a_failed_call_says_why_and_no_row_of_it_settled(client: TestClient) -> None:
    failed = client.get("/api/transactions?failed=true").json()["rows"]
    assert [row["call"] for row in failed] == ["settle", "requestExit", "exit"]
    assert "OutOfGas" in client.get(f"/tx/{failed[0]['hash']}").text


def test_a_trace_stands_under_the_call_that_made_it(client: TestClient, traded: Traded) -> None:
    deposit = next(row for row in client.get("/api/transactions").json()["rows"] if row["call"] == "deposit")
    assert f'hx-get="/tx/{deposit["hash"]}/trace"' in client.get(f"/tx/{deposit['hash']}").text
    calls = client.get(f"/api/tx/{deposit['hash']}/trace").json()["calls"]
    assert (calls[0]["contract"], calls[0]["function"], calls[0]["frame"]["depth"]) == (
        "market",
        "deposit",
        0,
    )
    inner = [(call["contract"], call["function"], call["frame"]["depth"]) for call in calls[1:]]
    assert ("asset", "transferFrom", 1) in inner
    assert 'class="depth depth-1"' in client.get(f"/tx/{deposit['hash']}/trace").text


def test_what_is_not_of_the_market_is_asked_of_the_node(client: TestClient, traded: Traded) -> None:
    mined = traded.provider.market.mint(Atoms(5))  # Of the asset, and after the index was made.
    page = client.get(f"/tx/0x{mined.transaction.hex()}")
    assert page.status_code == 200
    assert "what the node says" in page.text
    twin = client.get(f"/api/tx/0x{mined.transaction.hex()}").json()
    assert (twin["indexed"], twin["told"]["block"]) == (None, mined.block)
    block = client.get(f"/block/{mined.block}")
    assert "not read yet" in block.text
    assert f"/tx/0x{mined.transaction.hex()}" in block.text
    for absent in (f"/block/{mined.block + 1_000}", f"/tx/0x{'77' * 32}", f"/tx/0x{'77' * 32}/trace"):
        assert client.get(absent).status_code == 404


def test_a_transaction_that_the_index_is_still_to_read_is_told_by_the_node(
    client: TestClient, traded: Traded
) -> None:
    traded.provider.market.mint(Atoms(5))
    mined = traded.provider.market.add_stake(Atoms(5))
    page = client.get(f"/api/tx/0x{mined.transaction.hex()}").json()
    assert page["call"]["function"] == "stake"
    assert {log["name"] for log in page["logs"]} == {"Staked", None}
    assert "Staked" in client.get(f"/tx/0x{mined.transaction.hex()}").text


def test_a_provider_that_was_slashed_says_so_with_the_proof(client: TestClient, traded: Traded) -> None:
    page = client.get(f"/provider/0x{traded.cheat.address.hex()}").text
    assert "receipt equivocation" in page
    (slash,) = client.get("/api/disputes").json()["rows"]
    assert slash["evidence"]["channelId"] == f"0x{traded.channels[1].id.hex()}"
    assert "The provider signed two receipts" in client.get(f"/channel/0x{traded.channels[1].id.hex()}").text


def test_amounts_of_an_account_are_the_contract_s(client: TestClient, traded: Traded) -> None:
    for payer in traded.payers:
        page = client.get(f"/api/account/0x{payer.address.hex()}").json()
        account = traded.provider.market.account(payer.address)
        assert page["account"]["free"] == str(account.free)
        channels = client.get(f"/api/channels?payer=0x{payer.address.hex()}").json()["rows"]
        still = sum(int(row["cap"]) - int(row["settled"]) for row in channels if not row["closedBlock"])
        assert page["locked"] == str(still)


def test_a_csv_file_has_what_the_list_has(client: TestClient) -> None:
    for path in STARTS:
        rows = list(csv.DictReader(io.StringIO(client.get(f"/api{path}.csv").text)))
        twin = client.get(f"/api{path}").json()["rows"]
        assert len(rows) == len(twin) > 0, path
        for row, other in zip(rows, twin, strict=True):
            assert row.keys() == other.keys()


def test_what_is_published_stands_on_every_page_that_it_explains(held: Held, auditor: TestClient) -> None:
    """Five of seven receipts of one channel are settled; of another three, and its close paid two more."""
    for half in (held.settled, held.closed):
        documents = [document_to_json(document) for document in half.documents()]
        assert auditor.post("/api/receipts", json=documents).status_code == 200
    settled, closed = (f"0x{half.key.id.hex()}" for half in (held.settled, held.closed))
    costs = [signed.message.cost for signed in held.settled.receipts[:5]]

    page = auditor.get(f"/api/channel/{settled}").json()
    assert [receipt["sequence"] for receipt in page["receipts"]] == [4, 3, 2, 1, 0]
    assert page["published"]["cost"] == page["channel"]["settled"] == str(sum(costs))
    assert "They explain 100.0 %" in auditor.get(f"/channel/{settled}").text

    second, first = auditor.get(f"/api/settlements?channel={settled}").json()["rows"]
    for row, sequences in ((first, [2, 1, 0]), (second, [4, 3])):
        under = auditor.get(f"/api/settlement/{row['block']}/{row['logIndex']}").json()["receipts"]["rows"]
        assert [receipt["sequence"] for receipt in under] == sequences
        assert sum(int(receipt["cost"]) for receipt in under) == int(row["paid"])

    for sequence in range(5):
        receipt = auditor.get(f"/api/receipt/{settled}/{sequence}").json()
        assert receipt["settlement"]["block"] == (first if sequence < 3 else second)["block"]
        assert receipt["working"]["agrees"]
        assert receipt["published"]["receipt"]["sequence"] == str(sequence)
        text = auditor.get(f"/receipt/{settled}/{sequence}").text
        assert 'action="/verify"' in text
        signed = held.settled.receipts[sequence]
        for value in (signed.signature, signed.message.request_hash, signed.message.response_hash):
            assert f"0x{value.hex()}</bdi>" in text
    assert auditor.get(f"/receipt/{settled}/5").status_code == 404, (
        "It was not settled, so nobody may publish it."
    )

    last = auditor.get(f"/api/receipt/{closed}/4").json()
    assert (last["settlement"], last["closed"]["channelId"]) == (None, closed)
    assert "the close of its channel" in auditor.get(f"/receipt/{closed}/4").text
    by_close = sum(signed.message.cost for signed in held.closed.receipts[3:])
    assert auditor.get(f"/api/channel/{closed}").json()["closePaid"] == str(by_close)
    assert "by the close itself" in auditor.get(f"/channel/{closed}").text

    provider = auditor.get(f"/api/provider/0x{held.provider.address.hex()}").json()
    assert provider["explained"]["receipts"] == 10
    assert provider["explained"]["atoms"] == provider["paid"] == provider["provider"]["earned"]


def test_a_published_receipt_is_verified_at_a_click(held: Held, auditor: TestClient) -> None:
    documents = [document_to_json(document) for document in held.settled.documents()]
    auditor.post("/api/receipts", json=documents)
    page = Markup(auditor.get(f"/receipt/0x{held.settled.key.id.hex()}/0").text)
    (document,) = [attributes["value"] for tag, attributes in page.tags if attributes.get("type") == "hidden"]
    answer = auditor.post("/verify", data={"document": document})
    assert 'data-verdict="paid"' in answer.text
