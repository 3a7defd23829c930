"""Pages of duels over a made market in which every state of one stands, in both databases."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tallystick.chain.market import Asset
from tallystick.protocol.duel import Vote
from tallystick.protocol.strength import Decided, strengths
from tallystick.protocol.units import Address
from tallystick_node.explorer import paging
from tallystick_node.explorer.database import reading, writing
from tallystick_node.explorer.index.filling import fill_with
from tallystick_node.explorer.index.made_block import DEPLOYMENT
from tallystick_node.explorer.index.made_duels import DuellingMarket
from tallystick_node.explorer.site import Site
from tests.explorer.conftest import asked

BLOCKS = 220


async def _filled(url: str) -> None:
    market = DuellingMarket(3, providers=6)
    blocks = [*market.opening(), *islice(iter(market.traded, None), BLOCKS)]
    engine = writing(url)
    await fill_with(engine, blocks)
    await engine.dispose()


async def _new_database(address: str) -> str:
    server = create_async_engine(f"postgresql+asyncpg://{address}", isolation_level="AUTOCOMMIT")
    async with server.connect() as connection:
        await connection.execute(text("CREATE DATABASE duels"))
    await server.dispose()
    return f"postgresql+asyncpg://{address.replace('/postgres?', '/duels?')}"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('duels') / 'explorer.db'}"
    else:
        url = asyncio.run(_new_database(request.getfixturevalue("postgres")))
    asyncio.run(_filled(url))
    site = Site(
        database=reading(url), deployment=DEPLOYMENT, asset=Asset(symbol="TUSD", decimals=6), now=lambda: 0
    )
    with asked(site) as client:
        yield client


def rows(client: TestClient, path: str) -> list[Any]:
    """All of a list, page by page."""
    found: list[Any] = []
    joint = "&" if "?" in path else "?"
    older = ""
    while older is not None:
        page = client.get(f"/api{path}" + (f"{joint}before={older}" if older else "")).json()
        found += page["rows"]
        older = page["older"]
    return found


def test_lists_are_whole_and_each_part_of_somebody_is_found(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE", 7)
    every = rows(client, "/duels")
    assert len({duel["duel"] for duel in every}) == len(every) > 20
    for name, part in (("first", "provider"), ("second", "provider"), ("challenger", "challenger")):
        who = next(duel[name] for duel in every if duel[name])
        mine = [duel for duel in every if who in (duel["first"], duel["second"], duel["challenger"])]
        assert rows(client, f"/duels?{part}={who}") == mine
    judges = rows(client, "/judges")
    judged = rows(client, f"/duels?judge={judges[0]['address']}")
    assert {duel["duel"] for duel in judged} <= {duel["duel"] for duel in every}
    open_ones = rows(client, "/duels?open=true")
    assert open_ones == [duel for duel in every if not duel["endedBlock"]]
    assert client.get("/duels").status_code == client.get("/judges").status_code == 200


def test_every_duel_has_a_page_and_its_money_is_whole(client: TestClient) -> None:
    for duel in rows(client, "/duels")[:25]:
        assert client.get(f"/duel/{duel['duel']}").status_code == 200
        page = client.get(f"/api/duel/{duel['duel']}").json()
        waits = sum(int(panel["duel"]["fee"]) for panel in page["panels"] if not panel["duel"]["endedBlock"])
        assert int(page["leftOver"]) == waits
        money = {step["name"]: step["holds"] for step in page["steps"]}["money"]
        assert money is (True if page["duel"]["finalVerdict"] != "none" else None)


def test_a_provider_has_the_strength_that_its_duels_give(client: TestClient) -> None:
    votes = {"first": Vote.FIRST, "second": Vote.SECOND, "tie": Vote.TIE}
    ended = [duel for duel in rows(client, "/duels") if duel["finalVerdict"] in votes]
    found = strengths(
        Decided(
            first=Address(bytes.fromhex(duel["first"][2:])),
            second=Address(bytes.fromhex(duel["second"][2:])),
            verdict=votes[duel["finalVerdict"]],
        )
        for duel in ended
    )
    assert len(found) > 2
    for address, strength in found.items():
        page = client.get(f"/api/provider/0x{address.hex()}").json()
        assert page["strength"] == strength
        provider = page["provider"]
        counted = sum(provider[name] for name in ("duelsWon", "duelsLost", "duelsTied"))
        assert counted == sum(f"0x{address.hex()}" in (duel["first"], duel["second"]) for duel in ended)
        assert client.get(f"/provider/0x{address.hex()}").status_code == 200


def test_the_market_and_its_duels_hold_what_they_owe(client: TestClient) -> None:
    found = client.get("/api/audit/market").json()
    assert found["conserved"] is True
    assert found["duelsHeld"] == found["duelsOwed"] != "0"
    assert int(found["duelsBurnt"]) > 0
    assert client.get("/audit/market").status_code == 200
