"""Strikes on a real chain as the index and a provider's page tell them."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tallystick.chain.audit_events import AUDIT_EVENTS
from tallystick.chain.market import Asset
from tallystick.protocol.strikes import STRIKES, Opinion
from tallystick.protocol.units import Atoms, to_hex
from tallystick_node.explorer import schema
from tallystick_node.explorer.database import reading
from tallystick_node.explorer.index.facts import event_again
from tallystick_node.explorer.queries.rows import Event
from tallystick_node.explorer.site import Site
from tests.chain.test_audits import FEE, SEATS, World, mine

from .conftest import asked
from .indexing import Tables, index

__all__ = ["mine"]  # a fixture


@pytest.fixture
def world(party: Any, staked_provider: Any, mine: Any, pass_time: Any) -> World:
    return World(party, staked_provider, mine, pass_time)


def require_conserved(tables: Tables, world: World) -> None:
    """By the asset itself, and every account by the contract."""
    audits = world.audits
    last = tables.rows(schema.blocks)[-1]
    assert last.audits_held == last.audits_owed == audits.market.asset_balance(audits.address)
    for row in tables.rows(schema.audit_accounts):
        assert row.balance == audits.balance_of(row.address)


def test_every_atom_that_audits_hold_is_accounted_for(world: World, local_chain: Any, tmp_path: Path) -> None:
    path = tmp_path / "explorer.db"
    held = SimpleNamespace(chain=local_chain, deployment=world.audits.market.deployment)

    def at_this_block() -> Any:
        asyncio.run(index(held, f"sqlite+aiosqlite:///{path}"))  # type: ignore[arg-type]
        require_conserved(Tables(path), world)
        return Tables(path).rows(schema.blocks)[-1]

    world.strike()
    world.step()
    assert at_this_block().audits_held == FEE
    world.mine(3)
    world.step()
    world.reaudited(Opinion.CLEAR)
    world.step()
    assert at_this_block().audits_held == FEE // SEATS * SEATS
    assert {row.role for row in Tables(path).rows(schema.accusation_parties)} == {"auditor", "reauditor"}
    (row,) = Tables(path).rows(schema.accusations)
    assert (row.fee, row.earned + row.burnt) == (FEE, FEE // SEATS * SEATS)
    world.audits.withdraw(next(name for name in world.auditors if world.audits.balance_of(name)))
    assert at_this_block().audits_held == FEE // SEATS * (SEATS - 1)


def test_strikes_and_what_became_of_them_are_shown(world: World, local_chain: Any, tmp_path: Path) -> None:
    strikers = world.strike()
    world.step()
    world.mine(3)
    world.step()
    world.reaudited(Opinion.CLEAR)
    world.step()
    deployment = world.audits.market.deployment
    held = SimpleNamespace(chain=local_chain, deployment=deployment)
    url = f"sqlite+aiosqlite:///{tmp_path}/explorer.db"
    asyncio.run(index(held, url))  # type: ignore[arg-type]

    tables = Tables(tmp_path / "explorer.db")
    require_conserved(tables, world)
    last, providers = tables.rows(schema.blocks)[-1], tables.by(schema.providers, "address")
    assert last.held == last.owed == world.audits.market.asset_balance(deployment.market)
    for name in (world.accused, *world.auditors):
        assert providers[name].staked == world.audits.market.stake(name).staked
    assert providers[world.accused].slashes == 0
    assert all(providers[striker].penalties > 0 == providers[striker].slashes for striker in strikers)
    rows = [row for row in tables.rows(schema.events) if row.name.startswith("Audits.")]
    assert {row.name for row in rows} >= {
        f"Audits.{name}" for name in set(AUDIT_EVENTS) - {"Withdrawn", "Sealed"}
    }
    for row in rows:
        event = Event.of(tuple(getattr(row, name) for name in Event.__dataclass_fields__))  # type: ignore[arg-type]
        place = {"block": row.block, "log_index": row.log_index, "transaction": row.transaction_hash}
        assert event_again(event.name, event.arguments, **place) is not None
        assert event.told
    site = Site(database=reading(url), deployment=deployment, asset=Asset(symbol="TUSD", decimals=6))
    with asked(site) as client:
        page = client.get(f"/api/provider/{to_hex(world.accused)}").json()
        assert [strike["state"] for strike in page["strikes"]["rows"]] == ["cleared"] * STRIKES
        shown = client.get(f"/provider/{to_hex(world.accused)}").text
        assert "Strikes of auditors" in shown
        for transaction in {row.transaction_hash for row in rows}:
            assert client.get(f"/tx/{to_hex(transaction)}").status_code == 200


class Explorer:
    """Of the chain as it is when it is read."""

    def __init__(self, chain: Any, world: World, folder: Path):
        self._held = SimpleNamespace(chain=chain, deployment=world.audits.market.deployment)
        self._world = world
        self.path = folder / "explorer.db"

    def page(self) -> Any:
        """Of the accusation as JSON: its state is the contract's; every page of it is there."""
        url = f"sqlite+aiosqlite:///{self.path}"
        asyncio.run(index(self._held, url))  # type: ignore[arg-type]
        require_conserved(Tables(self.path), self._world)
        now = self._world.audits.market.head().timestamp
        site = Site(
            database=reading(url),
            deployment=self._held.deployment,
            asset=Asset(symbol="TUSD", decimals=6),
            now=lambda: now,
        )
        with asked(site) as client:
            rows = client.get("/api/accusations").json()["rows"]
            name = rows[0]["accusation"]
            for path in (f"/accusation/{name}", "/accusations", "/strikes", f"/events?accusation={name}"):
                assert client.get(path).status_code == 200, path
            assert len(client.get("/api/strikes.csv").text.splitlines()) == 1 + STRIKES
            self.require_filters(client, rows)
            return client.get(f"/api/accusation/{name}").json()

    def tampered(self, statement: str) -> dict[str, bool | None]:
        """Steps of the page, had somebody changed the index."""
        path = self.path.with_name("tampered.db")
        path.write_bytes(self.path.read_bytes())
        with closing(sqlite3.connect(path)) as db, db:
            assert db.execute(statement).rowcount > 0
        site = Site(
            database=reading(f"sqlite+aiosqlite:///{path}"),
            deployment=self._held.deployment,
            asset=Asset(symbol="TUSD", decimals=6),
        )
        with asked(site) as client:
            name = client.get("/api/accusations").json()["rows"][0]["accusation"]
            return steps_of(client.get(f"/api/accusation/{name}").json())

    def require_filters(self, client: Any, rows: list[Any]) -> None:
        nobody, row = to_hex(bytes(20)), rows[0]
        for part, who in (("provider", row["provider"]), ("auditor", row["auditors"][0])):
            found = client.get("/api/accusations", params={part: who}).json()["rows"]
            assert found == rows
            assert not client.get("/api/accusations", params={part: nobody}).json()["rows"]
            assert client.get("/api/strikes", params={part: who}).json()["rows"]
            assert not client.get("/api/strikes", params={part: nobody}).json()["rows"]
        for seat in row["seats"][:1]:
            found = client.get("/api/accusations", params={"reauditor": seat["auditor"]}).json()["rows"]
            assert found == rows
        under_way = client.get("/api/accusations", params={"open": "true"}).json()["rows"]
        assert bool(under_way) == (not row["concludedAt"])


@pytest.fixture
def explorer(world: World, local_chain: Any, tmp_path: Path) -> Explorer:
    return Explorer(local_chain, world, tmp_path)


def steps_of(page: Any) -> dict[str, bool | None]:
    return {step["name"]: step["holds"] for step in page["steps"]}


def require_concluded(page: Any, outcome: str) -> None:
    """Checked to the atom."""
    assert [step for step in page["steps"] if not step["holds"]] == []
    assert (page["accusation"]["state"], page["leftOver"]) == (outcome, "0")
    assert page["accusation"]["outcomes"] == [outcome] * STRIKES
    taken, given = (sum(int(move[name]) for move in page["moves"]) for name in ("taken", "given"))
    assert taken == given > 0


def require_found_out(explorer: Explorer, opinion: Opinion) -> None:
    """An index that says otherwise than the chain."""
    assert not explorer.tampered("UPDATE draws SET hash = zeroblob(32)")["re-auditors"]
    assert not explorer.tampered("UPDATE weights SET weight = substr(weight, 2) || '0' WHERE block % 2")[
        "re-auditors"
    ]
    assert not explorer.tampered("UPDATE stakes SET staked = substr(staked, 2) || '0'")["money"]
    other = Opinion.UPHOLD + Opinion.CLEAR - opinion
    said = f"CAST(x'{bytes([other] * STRIKES * SEATS).hex()}' AS BLOB)"
    changed = explorer.tampered(f"UPDATE accusations SET opinions = {said}")
    assert (changed["ballots"], changed["outcome"], changed["money"]) == (False, False, False)


@pytest.mark.parametrize("opinion", [Opinion.CLEAR, Opinion.UPHOLD])
def test_an_accusation_is_checked_again_as_it_goes(
    world: World, explorer: Explorer, opinion: Opinion
) -> None:
    strikers = world.strike()
    page = explorer.page()
    assert page["accusation"]["state"] == "accused"
    assert page["accusation"]["auditors"] == [to_hex(striker) for striker in strikers]
    assert steps_of(page) == {"strike 1": True, "strike 2": True, "strike 3": True, "outcome": None}
    world.step()
    world.mine(3)
    world.step()
    page = explorer.page()
    assert (page["accusation"]["state"], page["leftOver"]) == ("committing", str(FEE))
    assert steps_of(page)["re-auditors"] is True
    seats = [seat["auditor"] for seat in page["accusation"]["seats"]]
    assert seats == [to_hex(one) for one in world.audits.reauditors(world.accused)]
    world.reaudited(opinion)
    page = explorer.page()
    assert page["accusation"]["state"] == "due"
    said = "clear" if opinion is Opinion.CLEAR else "uphold"
    assert [seat["opinions"] for seat in page["accusation"]["seats"]] == [[said] * STRIKES] * SEATS
    world.step()
    page = explorer.page()
    require_concluded(page, "cleared" if opinion is Opinion.CLEAR else "upheld")
    assert {"re-auditors", "ballots", "outcome", "money"} < set(steps_of(page))
    require_found_out(explorer, opinion)


def test_one_that_nobody_answers_is_slashed(world: World, explorer: Explorer) -> None:
    world.nodes[world.accused] = world.node(world.accused, answer=Atoms(0))
    world.strike()
    world.pass_time(world.period)
    assert explorer.page()["accusation"]["state"] == "due"
    world.step()
    page = explorer.page()
    require_concluded(page, "unanswered")
    assert page["accusation"]["slashed"] != "0"
