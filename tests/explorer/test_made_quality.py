"""Pages of duels and of strikes over a made market in which every state of them stands, in both databases."""

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
from tallystick_node.explorer.index.made_audits import AuditedMarket
from tallystick_node.explorer.index.made_block import DEPLOYMENT
from tallystick_node.explorer.site import Site
from tests.explorer.conftest import asked

BLOCKS = 220


async def _filled(url: str) -> None:
    market = AuditedMarket(3)
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


def test_lists_of_strikes_are_whole_and_each_part_in_one_is_found(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE", 7)
    struck, accused = rows(client, "/strikes"), rows(client, "/accusations")
    assert len({strike["receiptHash"] for strike in struck}) == len(struck) > 20
    assert {strike["accusation"] for strike in struck} - {None} == {row["accusation"] for row in accused}
    for part in ("provider", "auditor"):
        who = struck[-1][part]
        assert rows(client, f"/strikes?{part}={who}") == [one for one in struck if one[part] == who]
    seats = {row["accusation"]: {seat["auditor"] for seat in row["seats"]} for row in accused}
    who, auditor = max(seats.values(), key=len).copy().pop(), accused[-1]["auditors"][1]
    found = {row["accusation"] for row in rows(client, f"/accusations?reauditor={who}")}
    assert found == {name for name, seated in seats.items() if who in seated}
    found = {row["accusation"] for row in rows(client, f"/accusations?auditor={auditor}")}
    assert found == {row["accusation"] for row in accused if auditor in row["auditors"]}
    assert rows(client, "/accusations?open=true") == [row for row in accused if not row["concludedBlock"]]
    assert client.get("/strikes").status_code == client.get("/accusations").status_code == 200


def test_every_accusation_has_a_page_on_which_all_that_can_be_said_holds(client: TestClient) -> None:
    accused = rows(client, "/accusations")
    states = {row["state"] for row in accused}
    assert states >= {"upheld", "cleared", "unanswered"}
    for row in accused:
        assert client.get(f"/accusation/{row['accusation']}").status_code == 200
        page = client.get(f"/api/accusation/{row['accusation']}").json()
        steps = {step["name"]: step["holds"] for step in page["steps"]}
        assert False not in steps.values()
        assert steps["outcome"] is steps.get("money") is (True if row["concludedAt"] else None)
        assert page["leftOver"] == ("0" if row["concludedAt"] else row["fee"])
        for strike, receipt in zip(page["strikes"], page["receipts"], strict=True):
            assert receipt["outputTokens"] == int(strike["tokens"])
        for place, tally in enumerate(page["tallies"]):
            said = [seat["opinions"][place] for seat in row["seats"] if seat["opinions"]]
            assert (tally["uphold"], tally["clear"]) == (said.count("uphold"), said.count("clear"))
            if row["concludedAt"]:
                most = {"upheld": tally["uphold"], "cleared": tally["clear"]}
                decided = [name for name, count in most.items() if count >= page["majority"]]
                assert row["outcomes"][place] == (decided[0] if decided else "open")


def test_what_an_accusation_takes_is_one_slash(client: TestClient) -> None:
    accused = [row for row in rows(client, "/accusations") if int(row["slashed"])]
    slashes = [row for row in rows(client, "/disputes") if row["kind"] == "strikes"]
    taken = {row["evidence"]["id"]: int(row["reward"]) + int(row["burnt"]) for row in slashes}
    assert taken == {row["accusation"]: int(row["slashed"]) for row in accused}
    assert len(taken) == len(slashes)
    provider = client.get(f"/api/provider/{accused[0]['provider']}").json()
    mine = [row for row in rows(client, "/disputes") if row["provider"] == accused[0]["provider"]]
    assert provider["provider"]["slashes"] == len(mine)
    assert f'href="/accusation/{accused[0]["accusation"]}"' in client.get("/disputes").text


def test_the_market_its_duels_and_its_audits_hold_what_they_owe(client: TestClient) -> None:
    found = client.get("/api/audit/market").json()
    assert found["conserved"] is True
    assert found["duelsHeld"] == found["duelsOwed"] != "0"
    assert found["auditsHeld"] == found["auditsOwed"] != "0"
    assert int(found["duelsBurnt"]) > 0 < int(found["auditsBurnt"])
    assert client.get("/audit/market").status_code == 200
