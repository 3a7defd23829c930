"""Strikes on a real chain as the index and a provider's page tell them."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tallystick.chain.audit_events import AUDIT_EVENTS
from tallystick.chain.market import Asset
from tallystick.protocol.strikes import Opinion
from tallystick.protocol.units import to_hex
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
        names = [event["name"].removeprefix("Audits.") for event in page["strikes"]["rows"]]
        assert names == ["Concluded", "Summoned", "Answered", "Accused", "Struck", "Struck", "Struck"]
        assert page["strikes"]["rows"][0]["arguments"]["outcome"] == "CLEARED"
        shown = client.get(f"/provider/{to_hex(world.accused)}").text
        assert "Strikes of auditors" in shown
        for transaction in {row.transaction_hash for row in rows}:
            assert client.get(f"/tx/{to_hex(transaction)}").status_code == 200
