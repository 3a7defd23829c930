"""Lists read to their ends over a made market: every row once, none left out, by page and by file."""

import csv
import io
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tallystick.chain.market import Asset
from tallystick_node.explorer import paging
from tallystick_node.explorer.database import reading
from tallystick_node.explorer.index.made_block import DEPLOYMENT
from tallystick_node.explorer.site import Site

from .conftest import asked
from .test_hostile import Markup

COUNTED = {
    "/accounts": "accounts",
    "/accusations": "accusations",
    "/blocks": "blocks WHERE transactions > 0 OR events > 0 OR transfers > 0",
    "/channels": "channels",
    "/disputes": "frauds",
    "/duels": "duels WHERE root = duel",
    "/judges": "judges",
    "/strikes": "strikes",
    "/events": "events",
    "/events?name=RowSkipped": "events WHERE name = 'RowSkipped'",
    "/disputes/skipped-rows": "events WHERE name = 'RowSkipped'",
    "/disputes/unstaked": "events WHERE name = 'Unstaked'",
    "/providers": "providers",
    "/settlements": "settlements",
    "/transactions": "transactions",
    "/transactions?failed=true": "transactions WHERE NOT succeeded",
}


@pytest.fixture
def client(market_db: Path) -> Iterator[TestClient]:
    site = Site(
        database=reading(f"sqlite+aiosqlite:///{market_db}"),
        deployment=DEPLOYMENT,
        asset=Asset(symbol="TUSD", decimals=6),
    )
    with asked(site) as client:
        yield client


def one(market_db: Path, question: str) -> object:
    with sqlite3.connect(market_db) as db:
        return db.execute(question).fetchone()[0]


@pytest.mark.parametrize("path", COUNTED)
def test_a_list_has_every_row_once(client: TestClient, market_db: Path, path: str) -> None:
    rows, query = [], path
    while True:
        page = client.get(f"/api{query}").json()
        rows += [str(row) for row in page["rows"]]
        if page["older"] is None:
            break
        query = f"{path}{'&' if '?' in path else '?'}before={page['older']}"
    assert len(rows) == len(set(rows)) == one(market_db, f"SELECT count(*) FROM {COUNTED[path]}")


def test_a_page_leads_to_the_next_and_keeps_what_else_was_asked(client: TestClient, market_db: Path) -> None:
    provider = one(market_db, "SELECT provider FROM settlements GROUP BY 1 ORDER BY count(*) DESC LIMIT 1")
    assert isinstance(provider, bytes)
    path: str | None = f"/settlements?provider=0x{provider.hex()}"
    pages = 0
    while path is not None:
        page = Markup(client.get(path).text)
        assert f"To provider 0x{provider.hex()}" in " ".join(page.text.split())
        following = [found for tag, found in page.tags if tag == "a" and found.get("rel") == "next"]
        path = following[0]["href"] if following else None
        pages += 1
    count = one(market_db, f"SELECT count(*) FROM settlements WHERE provider = x'{provider.hex()}'")
    assert isinstance(count, int)
    assert pages == -(-count // 50) > 2


def test_a_long_life_is_told_from_its_opening_page_by_page(client: TestClient, market_db: Path) -> None:
    busiest = one(market_db, "SELECT channel_id FROM channels ORDER BY settlements DESC LIMIT 1")
    assert isinstance(busiest, bytes)
    path, texts = f"/channel/0x{busiest.hex()}", []
    while True:
        text = client.get(path).text
        texts.append(text)
        links = [found["href"] or "" for tag, found in Markup(text).tags if tag == "a" and "href" in found]
        earlier = [link for link in links if link.startswith("/channel/") and "before=" in link]
        if not earlier or earlier[0] == path:
            break
        path = earlier[0]
    assert "<b>Opened</b>" in texts[-1]
    assert "<b>Opened</b>" not in texts[0] or len(texts) == 1
    moments = sum(text.count('<p class="when">') for text in texts)
    where = f"events WHERE channel_id = x'{busiest.hex()}'"
    assert moments == one(market_db, f"SELECT count(*) FROM {where}")


def test_a_file_has_more_rows_than_a_page_and_leads_to_the_next(
    client: TestClient, market_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = one(market_db, "SELECT count(*) FROM settlements")
    whole = client.get("/api/settlements.csv")
    assert "link" not in whole.headers
    assert whole.text.count("\n") - 1 == count

    monkeypatch.setattr(paging, "CSV", 700)
    rows, path = [], "/api/settlements.csv?provider="
    provider = one(market_db, "SELECT provider FROM settlements GROUP BY 1 ORDER BY count(*) DESC LIMIT 1")
    assert isinstance(provider, bytes)
    answer = client.get(f"{path}0x{provider.hex()}")
    while True:
        rows += list(csv.DictReader(io.StringIO(answer.text)))
        if "link" not in answer.headers:
            break
        answer = client.get(answer.links["next"]["url"])
    assert {row["provider"] for row in rows} == {f"0x{provider.hex()}"}
    counted = one(market_db, f"SELECT count(*) FROM settlements WHERE provider = x'{provider.hex()}'")
    assert len({(row["block"], row["logIndex"]) for row in rows}) == len(rows) == counted
    assert len(rows) > 700
