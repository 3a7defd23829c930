"""The index of a real chain says what the contract says."""

import json
from pathlib import Path

import pytest

from tallystick_node.explorer import schema

from .indexing import Tables, index
from .trading import MODEL, Traded


@pytest.fixture
async def tables(traded: Traded, tmp_path: Path) -> Tables:
    await index(traded, f"sqlite+aiosqlite:///{tmp_path}/explorer.db")
    return Tables(tmp_path / "explorer.db")


async def test_accounts_stakes_channels_and_balances_are_the_contract_s(
    traded: Traded, tables: Tables
) -> None:
    market = traded.provider.market
    accounts = tables.by(schema.accounts, "address")
    assert set(accounts) == {payer.address for payer in traded.payers}
    for address, row in accounts.items():
        account = market.account(address)
        assert (row.free, row.exiting, row.exits_at) == (account.free, account.exiting, account.exits_at)
    providers = tables.by(schema.providers, "address")
    assert set(providers) == {traded.provider.address, traded.cheat.address, traded.payers[1].address}
    for address, row in providers.items():
        stake = market.stake(address)
        assert (row.staked, row.exiting, row.exits_at) == (stake.staked, stake.exiting, stake.exits_at)
        assert (row.receipt_key or address) == stake.receipt_key
        assert row.balance == market.balance_of(address)
        assert row.minimum_sequence == market.offers_of(address)[1]
    channels = tables.by(schema.channels, "channel_id")
    assert set(channels) == {key.id for key in traded.channels}
    for key in traded.channels:
        row, there = channels[key.id], market.channel(key.payer, key.provider, key.session_key)
        if there.key.epoch == key.epoch:
            assert (row.cap, row.settled, row.closes_at) == (there.cap, there.settled, there.closes_at)
        else:
            assert row.closed_block > 0
            assert row.settled + row.returned == row.cap


async def test_what_the_market_holds_is_what_it_owes_and_what_was_given_to_it(
    traded: Traded, tables: Tables
) -> None:
    last = tables.rows(schema.blocks)[-1]
    assert last.held == traded.provider.market.asset_balance(traded.deployment.market)
    assert last.held == last.owed + 77
    assert {row.held - row.owed for row in tables.rows(schema.blocks)} == {0, 77}


async def test_settlements_say_what_each_paid(traded: Traded, tables: Tables) -> None:
    rows = tables.rows(schema.settlements)
    assert [row.paid for row in rows] == [3_000_000, 1_000_000, 2_000_000, 2_000_000]
    assert [row.settled for row in rows] == [3_000_000, 1_000_000, 5_000_000, 2_000_000]
    earned = tables.by(schema.providers, "address")[traded.provider.address]
    assert earned.earned == 9_000_000  # A close paid three more.
    assert earned.withdrawn == 9_000_000
    (hours,) = [row for row in tables.rows(schema.provider_hours) if row.provider == traded.provider.address]
    assert (hours.settlements, hours.paid) == (3, 9_000_000)
    assert sum(row.settled for row in tables.rows(schema.hours)) == 11_000_000
    last = tables.rows(schema.hours)[-1]
    channels = tables.rows(schema.channels)
    assert last.locked == sum(row.cap - row.settled for row in channels if not row.closed_block)
    assert last.staked == sum(row.staked for row in tables.rows(schema.providers))


async def test_failed_transactions_say_why(traded: Traded, tables: Tables) -> None:
    failed = [row for row in tables.rows(schema.transactions) if not row.succeeded]
    assert [row.call for row in failed] == ["exit", "requestExit", "settle"]
    assert failed[0].error.startswith("NothingExiting(): Nothing is on its way out")
    assert failed[1].error.startswith(f"AccountTooSmall(required={1 << 95}, available=")
    assert failed[2].error.startswith("OutOfGas(limit=23000): ")
    for row in tables.rows(schema.transactions):
        assert row.cost == row.gas_used * row.gas_price
        assert (row.error is None) == row.succeeded


async def test_a_slash_stands_with_its_proof(traded: Traded, tables: Tables) -> None:
    (fraud,) = tables.rows(schema.frauds)
    assert (fraud.kind, fraud.provider) == ("receipt-equivocation", traded.cheat.address)
    assert fraud.reporter == traded.payers[1].address
    assert (fraud.reward, fraud.burnt) == (33_333_333, 66_666_667)
    assert json.loads(fraud.evidence)["channelId"] == "0x" + traded.channels[1].id.hex()


async def test_events_know_whose_they_are(traded: Traded, tables: Tables) -> None:
    rows = tables.rows(schema.events)
    settled = [row for row in rows if row.name == "Settled"]
    assert {(row.payer, row.provider, row.channel_id) for row in settled} == {
        (key.payer, key.provider, key.id) for key in traded.channels[:3]
    }
    (skipped,) = [row for row in rows if row.name == "RowSkipped"]
    assert json.loads(skipped.arguments)["reason"] == "NOT_GREATER"
    offers = tables.rows(schema.offers)
    assert [row.model for row in offers] == [MODEL, "<b>other\N{REPLACEMENT CHARACTER}</b>"]
    assert sum(row.events for row in tables.rows(schema.blocks)) == len(rows)


async def test_a_restart_reads_nothing_twice(traded: Traded, tables: Tables, tmp_path: Path) -> None:
    before = {table.name: tables.rows(table) for table in schema.METADATA.sorted_tables}
    heads = await index(traded, f"sqlite+aiosqlite:///{tmp_path}/explorer.db")
    grown = {table.name: tables.rows(table) for table in schema.METADATA.sorted_tables}
    assert len(heads) == 1
    for name in before:
        if name not in ("progress", "blocks", "undo"):  # An empty block may have come.
            assert grown[name] == before[name]


async def test_what_a_real_chain_takes_back_leaves_nothing(traded: Traded, tmp_path: Path) -> None:
    live, fresh = (f"sqlite+aiosqlite:///{tmp_path}/{name}.db" for name in ("live", "fresh"))
    rpc = traded.chain.rpc
    snapshot = rpc.call("evm_snapshot")
    traded.parties.funded_payer(5)
    traded.fail(traded.payers[0], "exit", traded.payers[0].address)
    await index(traded, live)
    rpc.call("evm_revert", snapshot)
    stays = traded.parties.funded_payer(7)
    for _ in range(6):
        rpc.call("evm_mine")
    await index(traded, live)  # Restarted, too.
    await index(traded, fresh)
    ours, theirs = Tables(tmp_path / "live.db"), Tables(tmp_path / "fresh.db")
    assert stays.address in ours.by(schema.accounts, "address")
    for table in schema.CHAIN_TABLES:
        if table is not schema.progress and table is not schema.undo and table is not schema.blocks:
            assert ours.rows(table) == theirs.rows(table), table.name
    newest = min(tables.rows(schema.progress)[0].block for tables in (ours, theirs))
    there = [row for row in theirs.rows(schema.blocks) if row.number <= newest]
    assert [row for row in ours.rows(schema.blocks) if row.number <= newest][-10:] == there[-10:]
