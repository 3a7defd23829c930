"""The pages that everybody meets first, over a small market: the overview, models, offers and search."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from tallystick.chain.deployment import Deployment
from tallystick.chain.market import Asset
from tallystick.protocol.units import Address
from tallystick_node.explorer import schema
from tallystick_node.explorer.database import reading
from tallystick_node.explorer.live import Balances, Head, Live
from tallystick_node.explorer.site import Site
from tests.explorer import small
from tests.explorer.conftest import asked
from tests.explorer.small import ALICE, CARL, HOUR, MODEL, NOW, START, hash_of

HOSTILE = f"/model/{quote(small.HOSTILE_MODEL, safe='')}"


def hexed(value: bytes) -> str:
    return f"0x{value.hex()}"


def filled() -> small.Small:
    """With two hours of what charts are drawn from."""
    market = small.Small()
    for hour, settlements, settled in ((3, 2, 350), (6, 1, 200)):
        amounts = {"fees": 10, "settled": settled, "deposited": 1_000, "locked": 900 - hour, "staked": 5_000}
        counts = {"transactions": 2, "gas_used": 90_000, "settle_gas": 60_001, "opened": 2, "closed": 1}
        market.put(
            schema.hours, hour=START + hour * HOUR, settlements=settlements, offers=1, **amounts, **counts
        )
    return market


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Nothing can be written through it, so that all tests here ask one."""
    path = tmp_path_factory.mktemp("market") / "explorer.db"
    filled().write(f"sqlite:///{path}")
    address = Address(small.MARKET)
    site = Site(
        database=reading(f"sqlite+aiosqlite:///{path}"),
        deployment=Deployment(chain_id=31337, market=address, asset=address, lens=address, block=1),
        asset=Asset(symbol="TUSD", decimals=6),
        minimum_stake=1_000,
        now=lambda: NOW,
    )
    with asked(site) as client:
        yield client


def test_the_overview_totals_what_the_hours_hold(market: TestClient) -> None:
    found = market.get("/api/overview").json()
    assert found["totals"] == {
        "transactions": 4,
        "settlements": 3,
        "channels": 4,
        "closed": 2,
        "settled": "550",
        "deposited": "2000",
        "settleGas": 120_002,
        "locked": "894",
        "staked": "5000",
        "providers": 1,
    }
    assert found["gasPerSettlement"] == 40_001, "Rounded up."
    assert found["conservation"] == {
        "block": 100,
        "held": "1000000000",
        "owed": "1000000000",
        "balance": None,
        "duelsHeld": "0",
        "duelsOwed": "0",
        "duelsBalance": None,
        "duelsBurnt": "0",
        "auditsHeld": "0",
        "auditsOwed": "0",
        "auditsBalance": None,
        "auditsBurnt": "0",
        "conserved": True,
    }
    assert "tallies" not in found


def test_requests_and_tokens_are_those_of_published_receipts_and_say_what_they_explain(
    market: TestClient,
) -> None:
    found = market.get("/api/overview").json()
    assert found["sold"]["atoms"] == "150", "No more than the channel has settled."
    assert found["sold"]["requests"] == 1
    assert found["gasPerRequest"] == -(-120_002 * 150 // 550)
    assert "27.2 % of the settled atoms have published receipts" in market.get("/").text


def test_missing_atoms_are_red(tmp_path_factory: pytest.TempPathFactory, site: Site) -> None:
    path = tmp_path_factory.mktemp("missing") / "explorer.db"
    market = filled()
    for block in market.rows[schema.blocks]:
        block["held"] = 10**9 - 1
    market.write(f"sqlite:///{path}")
    with asked(replace(site, database=reading(f"sqlite+aiosqlite:///{path}"))) as client:
        assert '<span class="badge bad">atoms are missing</span>' in client.get("/").text
        assert client.get("/api/overview").json()["conservation"]["conserved"] is False


def test_charts_are_drawn_on_the_server_and_from_the_series(market: TestClient) -> None:
    assert market.get("/api/overview").json()["days"] == 1, "The market is ten hours old."
    page = market.get("/?days=1").text
    assert page.count("<svg") == 4
    assert 'data-chart="/api/series?days=1"' in page
    series = market.get("/api/series?days=1").json()
    assert len(series["at"]) == 25
    assert series["settled"][-8:] == ["350", "0", "0", "200", "0", "0", "0", "0"]
    assert series["gasPerSettlement"][-8] == 30_001
    assert series["locked"][-1] == "894"


@pytest.mark.parametrize("days", ["0", "-1", "x", "99999999"])
def test_a_chart_has_a_length(market: TestClient, days: str) -> None:
    assert market.get(f"/?days={days}").status_code == 400


def test_hours_are_a_table(market: TestClient) -> None:
    rows = list(csv.DictReader(io.StringIO(market.get("/api/hours.csv").text)))
    assert [row["settled"] for row in rows] == ["200", "350"]
    assert market.get("/hours").text.count("<tr>") == 3


def test_models_have_the_prices_of_the_offers_that_hold(market: TestClient) -> None:
    rows = market.get("/api/models").json()["rows"]
    assert {row["model"] for row in rows} == {MODEL, small.HOSTILE_MODEL}
    assert rows[1]["lowestOutputPrice"] == "2000000"


def test_a_model_s_offers_stand_side_by_side_with_their_speed(market: TestClient) -> None:
    found = market.get(f"/api/model/{MODEL}").json()
    assert [offer["provider"] for offer in found["offers"]] == [hexed(CARL)]
    speed = found["speeds"][hexed(CARL)]
    assert speed["receipts"] == 2, "One is interim: its end is no answer's."
    page = market.get(f"/model/{MODEL}").text
    assert f"{speed['firstTokenMs']} ms" in page
    assert "<svg" in page


@pytest.mark.parametrize("path", [HOSTILE, "/models", "/offers", "/", f"/offer/{hexed(small.HOSTILE_OFFER)}"])
def test_a_stranger_s_words_are_shown_and_never_run(market: TestClient, path: str) -> None:
    page = market.get(path)
    assert page.status_code == 200
    assert "&lt;script&gt;alert" in page.text
    for run in ("<script>alert", "<img src=x", "\u202e", "onerror=x'"):
        assert run not in page.text


def test_a_stranger_s_words_come_back_whole_as_json(market: TestClient) -> None:
    assert market.get(f"/api{HOSTILE}").json()["model"] == small.HOSTILE_MODEL


def test_an_offer_says_how_it_stands(market: TestClient) -> None:
    found = market.get(f"/api/offer/{hexed(small.OFFERED)}").json()
    assert found["offer"]["standing"] == "holds"
    assert found["medianOutputPrice"] == "2000000"
    assert found["postings"][0]["transactionHash"] == hexed(hash_of(0x7000 + 1_000))


@pytest.mark.parametrize(
    ("change", "standing"),
    [
        ({"valid_until": NOW}, "expired"),
        ({"sequence": 0}, "withdrawn"),
        ({}, "holds"),
    ],
)
def test_offers_stop_holding(
    tmp_path_factory: pytest.TempPathFactory, site: Site, change: dict[str, int], standing: str
) -> None:
    path = tmp_path_factory.mktemp("standing") / "explorer.db"
    rows = filled()
    rows.rows[schema.offers][0] |= change
    rows.rows[schema.providers][0]["minimum_sequence"] = 1
    rows.write(f"sqlite:///{path}")
    with asked(replace(site, database=reading(f"sqlite+aiosqlite:///{path}"), now=lambda: NOW)) as client:
        found = client.get(f"/api/offer/{hexed(small.OFFERED)}").json()
        listed = [row["offerHash"] for row in client.get("/api/offers").json()["rows"]]
        every = [row["offerHash"] for row in client.get("/api/offers?every=true").json()["rows"]]
    assert found["offer"]["standing"] == standing
    assert (hexed(small.OFFERED) in listed) == (standing == "holds")
    assert hexed(small.OFFERED) in every


def test_a_newer_offer_replaces_and_too_little_stake_holds_nothing(
    tmp_path_factory: pytest.TempPathFactory, site: Site
) -> None:
    path = tmp_path_factory.mktemp("replaced") / "explorer.db"
    rows = filled()
    newer = rows.rows[schema.offers][0] | {"block": 11, "offer_hash": hash_of(0xBEEF), "valid_until": NOW}
    rows.put(schema.offers, **newer)
    rows.write(f"sqlite:///{path}")
    over = replace(site, database=reading(f"sqlite+aiosqlite:///{path}"), now=lambda: NOW)
    with asked(over) as client:
        found = client.get(f"/api/offer/{hexed(small.OFFERED)}").json()
        assert found["offer"]["standing"] == "replaced", "An expired newer one does not bring it back."
        assert [row["model"] for row in client.get("/api/models").json()["rows"]] == [small.HOSTILE_MODEL]
    with asked(replace(over, database=reading(f"sqlite+aiosqlite:///{path}"), minimum_stake=5_001)) as client:
        assert client.get("/api/models").json()["rows"] == []
        found = client.get(f"/api/offer/{hexed(small.HOSTILE_OFFER)}").json()
        assert found["offer"]["standing"] == "unstaked"


ONE_HIT = {
    "30": "/block/30",
    "  30 ": "/block/30",
    hexed(hash_of(0xB000 + 30)): "/block/30",
    hexed(hash_of(0x7000 + 3_000)): f"/tx/{hexed(hash_of(0x7000 + 3_000))}",
    hexed(hash_of(0x7000 + 3_000))[2:].upper(): f"/tx/{hexed(hash_of(0x7000 + 3_000))}",
    hexed(small.FIRST.id): f"/channel/{hexed(small.FIRST.id)}",
    hexed(small.OFFERED): f"/offer/{hexed(small.OFFERED)}",
    hexed(hash_of(0x4EC0)): f"/receipt/{hexed(small.FIRST.id)}/0",
    hexed(small.EVE): f"/account/{hexed(small.EVE)}",
    hexed(small.CLOSING.session_key): f"/channel/{hexed(small.CLOSING.id)}",
    MODEL: f"/model/{MODEL}",
    "SMALL-mod": f"/model/{MODEL}",
    small.HOSTILE_MODEL: HOSTILE,
    "carl.example": f"/provider/{hexed(CARL)}",
}


@pytest.mark.parametrize(("word", "path"), ONE_HIT.items())
def test_one_hit_leads_to_its_page(market: TestClient, word: str, path: str) -> None:
    answer = market.get("/search", params={"q": word}, follow_redirects=False)
    assert (answer.status_code, answer.headers.get("location")) == (303, path)


def test_several_hits_are_listed(market: TestClient) -> None:
    hits = market.get("/api/search", params={"q": hexed(small.FIRST.session_key)}).json()["hits"]
    assert {hit["path"] for hit in hits} == {
        f"/channel/{hexed(small.FIRST.id)}",
        f"/channel/{hexed(small.AGAIN.id)}",
    }
    kinds = {hit["kind"] for hit in market.get("/api/search", params={"q": hexed(ALICE)}).json()["hits"]}
    assert kinds == {"account", "receipt key"}
    acknowledged = market.get("/search", params={"q": hexed(small.ACKNOWLEDGED)})
    assert acknowledged.text.count('href="/settlement/') == 3


@pytest.mark.parametrize(
    "word",
    [
        "",
        " ",
        "%",
        "_",
        "\0",
        "'",
        '" or 1=1 --',
        "<script>alert(1)</script>",
        "0x",
        "9" * 30,
        "é\u202e",
        "a" * 200,
        "101",
    ],
)
def test_hostile_words_find_nothing_and_do_nothing(market: TestClient, word: str) -> None:
    answer = market.get("/search", params={"q": word}, follow_redirects=False)
    assert answer.status_code == 200 or "/model/" in answer.headers["location"], word
    assert "<script>alert(1)" not in answer.text
    assert market.get("/api/search", params={"q": "a" * 201}).status_code == 400


def test_suggestions_are_a_part_of_a_page(market: TestClient) -> None:
    part = market.get("/search/suggestions", params={"q": "small"}).text
    assert f'href="/model/{MODEL}"' in part
    assert "<html" not in part
    assert market.get("/search/suggestions", params={"q": "s"}).text.strip() == ""


def test_the_api_page_lists_every_route_of_the_document(market: TestClient) -> None:
    document = market.get("/api/openapi.json").json()
    page = market.get("/api").text
    for path, methods in document["paths"].items():
        assert f"{path}<" in page or f'"{path}"' in page
        for told in methods.values():
            assert {"400", "404", "429", "503"} <= told["responses"].keys(), path
            assert "422" not in told["responses"], "What is malformed gets 400."
    assert document["paths"]["/api/model/{name}"]["get"]["parameters"][0]["in"] == "path"
    names = [told["operationId"] for methods in document["paths"].values() for told in methods.values()]
    assert len(names) == len(set(names))


def test_a_word_with_a_nul_is_looked_for_as_it_is_kept(market: TestClient) -> None:
    """PostgreSQL would refuse the question."""
    assert market.get("/model/a%00b").status_code == 404
    assert market.get("/search?q=a%00b").status_code == 200


@pytest.mark.parametrize(("balance", "conserved"), [(10**9, True), (10**9 + 1, True), (10**9 - 1, False)])
def test_the_asset_s_own_word_counts_too(
    tmp_path_factory: pytest.TempPathFactory, site: Site, balance: int, conserved: bool
) -> None:
    path = tmp_path_factory.mktemp("balance") / "explorer.db"
    filled().write(f"sqlite:///{path}")
    live = Live()
    live.head = Head(block=100, timestamp=NOW, chain_head=100, balances=Balances(market=balance))
    over = replace(site, database=reading(f"sqlite+aiosqlite:///{path}"), live=live, now=lambda: NOW)
    with asked(over) as client:
        page, found = client.get("/").text, client.get("/api/overview").json()["conservation"]
    assert (found["balance"], found["conserved"]) == (str(balance), conserved)
    assert ("the asset says otherwise" in page) == (balance != 10**9)
    assert ("atoms are missing" in page) != conserved


def test_an_offer_that_expires_leaves_the_overview_without_a_block(
    tmp_path_factory: pytest.TempPathFactory, site: Site
) -> None:
    path = tmp_path_factory.mktemp("expiring") / "explorer.db"
    rows = filled()
    rows.rows[schema.offers][0]["valid_until"] = NOW + 60
    rows.write(f"sqlite:///{path}")
    clock = [NOW]
    over = replace(site, database=reading(f"sqlite+aiosqlite:///{path}"), now=lambda: clock[0])
    with asked(over) as client:
        assert MODEL in {row["model"] for row in client.get("/api/overview").json()["models"]}
        clock[0] += 60
        assert MODEL not in {row["model"] for row in client.get("/api/overview").json()["models"]}
