"""The made market is one: its index adds up, everything happens in it, and a seed makes it again."""

from itertools import pairwise
from pathlib import Path

from tallystick.chain.events import EVENTS
from tallystick_node.explorer import schema
from tallystick_node.explorer.index.filling import made_blocks

from .indexing import Tables


def test_a_seed_makes_the_same_market_again() -> None:
    assert list(made_blocks(300, 7)) == list(made_blocks(300, 7))
    assert list(made_blocks(300, 7)) != list(made_blocks(300, 8))


def test_its_blocks_follow_one_another() -> None:
    blocks = list(made_blocks(300))
    assert blocks[0].number == 1
    for parent, child in pairwise(blocks):
        assert (child.parent, child.number) == (parent.hash, parent.number + 1)
        assert child.timestamp > parent.timestamp


def test_it_holds_what_it_owes_and_its_totals_are_its_rows(market_db: Path) -> None:
    tables = Tables(market_db)
    assert all(row.held == row.owed for row in tables.rows(schema.blocks))
    settlements = tables.rows(schema.settlements)
    assert len(settlements) >= 2_000
    channels, providers = tables.rows(schema.channels), tables.rows(schema.providers)
    paid = {row.channel_id: 0 for row in channels}
    for row in settlements:
        paid[row.channel_id] += row.paid
    assert all(row.closed_block or paid[row.channel_id] == row.settled for row in channels)
    last = tables.rows(schema.hours)[-1]
    assert last.locked == sum(row.cap - row.settled for row in channels if not row.closed_block)
    assert last.staked == sum(row.staked for row in providers)
    accounts = tables.rows(schema.accounts)
    owed = sum(row.free + row.exiting for row in accounts) + last.locked
    owed += sum(row.staked + row.exiting + row.balance for row in providers)
    assert tables.rows(schema.blocks)[-1].owed == owed
    assert sum(row.paid for row in accounts) == sum(row.settled for row in channels)
    assert sum(row.settlements for row in tables.rows(schema.hours)) == len(settlements)
    assert sum(row.paid for row in tables.rows(schema.provider_hours)) == sum(row.paid for row in accounts)


def test_everything_happens_in_it(market_db: Path) -> None:
    tables = Tables(market_db)
    names = {row.name for row in tables.rows(schema.events)}
    seldom = {"Unstaked", "ReceiptEquivocationProven", "OfferEquivocationProven", "Awarded"}
    assert {name for name in names if "." not in name} | seldom == set(EVENTS)
    assert names >= {"Duels.Ended", "Audits.Struck", "Audits.Revealed", "Audits.Concluded"}
    assert not all(row.succeeded for row in tables.rows(schema.transactions))
