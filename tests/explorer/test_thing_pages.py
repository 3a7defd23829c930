"""The pages of single things and their lists: HTML, JSON twin and CSV, hostile words, and nonsense asked."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tallystick.chain import contracts
from tallystick.chain.deployment import Deployment
from tallystick.chain.market import Asset
from tallystick.protocol.units import Address
from tallystick_node.explorer import paging
from tallystick_node.explorer.database import reading
from tallystick_node.explorer.node import Node
from tallystick_node.explorer.pages.provider_charts import earnings, earnings_chart
from tallystick_node.explorer.queries.rows import ProviderHour
from tallystick_node.explorer.site import Site
from tests.explorer import small
from tests.explorer.conftest import asked
from tests.explorer.small import ALICE, CARL, DORA, EVE, hash_of


def hexed(value: bytes) -> str:
    return f"0x{value.hex()}"


PAGES = {
    "/blocks": "10",
    "/block/30": "Transactions of the market",
    f"/block/{hexed(hash_of(0xB000 + 30))}": "Transactions of the market",
    "/transactions": "slashOvercharge",
    f"/transactions?sender={hexed(EVE)}": "slashOvercharge",
    "/transactions?failed=true": "failed",
    f"/tx/{hexed(hash_of(0x7000 + 3_000))}": "Vouchers presented <small>3</small>",
    f"/tx/{hexed(hash_of(0x7000 + 3_001))}": "The provider has nothing at stake.",
    "/accounts": hexed(ALICE),
    f"/account/{hexed(ALICE)}": "leave the market from",
    f"/account/{hexed(CARL)}": "This address is a provider too",
    f"/account/{hexed(EVE)}": "never made a deposit",
    "/providers": hexed(DORA),
    f"/provider/{hexed(CARL)}": "in 5 of 11 hours",
    f"/provider/{hexed(DORA)}": "overcharge",
    "/channels": hexed(small.CLOSING.id),
    f"/channels?payer={hexed(ALICE)}": hexed(small.FIRST.id),
    f"/channel/{hexed(small.FIRST.id)}": "A voucher was passed over",
    f"/channel/{hexed(small.CLOSING.id)}": "asked for the close",
    f"/channel/{hexed(small.LAST.id)}": "went back to the payer",
    f"/channel/{hexed(small.AGAIN.id)}": "Cap raised",
    "/settlements": "/settlement/60/0",
    f"/settlements?channel={hexed(small.FIRST.id)}": "/settlement/30/0",
    f"/channel/{hexed(small.FIRST.id)}?receiptsBelow=1": "They explain 100.0 %",
    "/events": "OfferPosted",
    "/events?block=30": "Settled",
    f"/events?channel={hexed(small.FIRST.id)}": "ChannelOpened",
    f"/events?payer={hexed(ALICE)}": "Of payer",
    f"/events?provider={hexed(CARL)}": "Of provider",
    "/events?name=Settled": "/settlement/30/0",
    "/receipts": "/receipt/0x",
    f"/receipts?channel={hexed(small.FIRST.id)}": "Of channel",
    "/settlement/30/0": "an equal share of 3 rows",
    f"/receipt/{hexed(small.FIRST.id)}/1": "the settlement in block 30",
    f"/receipt/{hexed(small.FIRST.id)}/2": "not settled",
    "/disputes": "All of the stake is taken",
    "/disputes/refused-reports": "slashOvercharge",
    "/disputes/unstaked": "There is none.",
    "/disputes/skipped-rows": "no more than is settled",
    "/disputes/skipped-grants": "deadline is over",
}
TABLES = [
    *("/blocks", "/transactions", "/accounts", "/providers", "/channels", "/settlements", "/disputes"),
    *(
        "/receipts",
        f"/receipts?channel={hexed(small.FIRST.id)}",
        f"/offers?every=true&provider={hexed(CARL)}",
    ),
    f"/offers?every=true&model={small.MODEL}",
    *("/events", "/events?block=30", f"/events?payer={hexed(ALICE)}", "/events?name=Settled"),
    *(f"/disputes/{part}" for part in ("refused-reports", "unstaked", "skipped-rows", "skipped-grants")),
]
EMPTY = ("/disputes/unstaked",)


@contextmanager
def asking(market: small.Small, folder: Path, node: Node | None = None) -> Iterator[TestClient]:
    """A client of the explorer of such a market. Nothing can be written through it."""
    path = folder / "explorer.db"
    market.write(f"sqlite:///{path}")
    with asking_at(f"sqlite+aiosqlite:///{path}", node) as client:
        yield client


@contextmanager
def asking_at(url: str, node: Node | None = None) -> Iterator[TestClient]:
    market, asset = Address(small.MARKET), Address(small.ASSET)
    site = Site(
        database=reading(url),
        deployment=Deployment(chain_id=31337, market=market, asset=asset, lens=market, block=1),
        asset=Asset(symbol="TUSD", decimals=6),
        node=node,
        now=lambda: small.NOW,
    )
    with asked(site) as client:
        yield client


@pytest.fixture(scope="module")
def market(small_url: str) -> Iterator[TestClient]:
    with asking_at(small_url) as client:
        yield client


@pytest.mark.parametrize(("path", "text"), PAGES.items())
def test_a_page_shows_its_thing_and_has_a_twin(market: TestClient, path: str, text: str) -> None:
    page, twin = market.get(path), market.get(f"/api{path}")
    assert page.status_code == 200, page.text
    assert text in page.text
    assert '<p class="lead">' in page.text, "Every page says in a sentence what one sees."
    assert twin.status_code == 200, twin.text
    assert twin.json()


@pytest.mark.parametrize("path", TABLES)
def test_a_table_is_a_csv_too(market: TestClient, path: str) -> None:
    address, _, query = path.partition("?")
    answer = market.get(f"/api{address}.csv?{query}")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"].startswith("text/csv")
    assert rows or path in EMPTY
    assert len(rows) == len(market.get(f"/api{path}").json()["rows"])


@pytest.mark.parametrize("path", ["/api/receipts?", f"/api/receipts?channel={hexed(small.FIRST.id)}&"])
def test_receipts_are_read_page_by_page(
    market: TestClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE", 2)
    first = market.get(path).json()
    second = market.get(f"{path}before={first['older']}").json()
    assert [row["sequence"] for row in first["rows"] + second["rows"]] == [2, 1, 0]
    assert second["older"] is None


def test_events_are_asked_for_of_one_thing_at_a_time(market: TestClient) -> None:
    answer = market.get("/api/events?block=30&name=Settled")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


def test_every_function_that_changes_the_market_is_said_to_be_for_something(market: TestClient) -> None:
    templates = market.app.state.templates  # type: ignore[attr-defined]
    told = templates.get_template("things.html").module.CALLS
    changing = {
        stem + entry["name"]
        for stem, contract in (
            ("", contracts.market()),
            ("Duels.", contracts.duels()),
            ("Audits.", contracts.audits()),
        )
        for entry in contract.interface.entries
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }
    assert set(told) == changing


def test_a_chart_of_one_hour_has_a_line() -> None:
    hour = ProviderHour(hour=small.START, settlements=1, paid=9)
    for now in (small.START + 60, small.START - 60):
        found = earnings([hour], now)
        assert found.at == (small.START - small.HOUR, small.START)
        assert found.paid == (0, 9)
        assert earnings_chart(found) is not None


def test_a_chart_of_a_year_has_a_point_a_day_and_all_that_was_paid() -> None:
    hours = [ProviderHour(hour=small.START + n * 7 * small.HOUR, settlements=1, paid=n) for n in range(1_000)]
    found = earnings(hours, hours[-1].hour + 5)
    assert len(found.at) == 292
    assert sum(found.paid) == sum(range(1_000))


def test_nothing_earned_is_no_chart() -> None:
    assert earnings_chart(earnings([], small.NOW)) is None
