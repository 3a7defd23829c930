"""The queries of single things and their lists, over a small market that holds every case once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import false, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer import schema
from tallystick_node.explorer.database import reading
from tallystick_node.explorer.errors import Malformed
from tallystick_node.explorer.paging import Cut
from tallystick_node.explorer.queries import (
    accounts,
    blocks,
    channels,
    disputes,
    events,
    offers,
    providers,
    receipts,
    settlements,
    transactions,
)
from tallystick_node.explorer.queries.explained import explained
from tallystick_node.explorer.queries.rows import Transaction
from tests.explorer import small
from tests.explorer.small import ALICE, BOB, CARL, DORA, EVE, HOUR, NOW, START, hash_of

ALL = Cut(limit=1_000)
MOMENT = offers.Moment(now=NOW, minimum_stake=1)


@pytest.fixture
async def connection(small_url: str) -> AsyncIterator[AsyncConnection]:
    engine = reading(small_url)
    async with engine.connect() as opened:
        yield opened
    await engine.dispose()


async def test_blocks_hold_something_of_the_market(connection: AsyncConnection) -> None:
    found = await blocks.blocks(connection, ALL)
    assert [block.number for block in found.rows] == [60, 50, 40, 30, 20, 10]
    assert found.older is None


async def test_a_block_by_number_and_by_hash(connection: AsyncConnection) -> None:
    by_number = await blocks.block(connection, 30)
    assert by_number is not None
    assert await blocks.block(connection, by_number.hash) == by_number
    assert (await blocks.block(connection, 98)) is not None
    for absent in (31, 2**200, hash_of(5)):
        assert await blocks.block(connection, absent) is None


@pytest.mark.parametrize(
    ("number", "earlier", "later"), [(10, None, 20), (35, 30, 40), (60, 50, None), (99, 60, None)]
)
async def test_neighbours_hold_something_too(
    connection: AsyncConnection, number: int, earlier: int | None, later: int | None
) -> None:
    found = await blocks.neighbours(connection, number)
    assert (found.earlier, found.later) == (earlier, later)


async def test_a_list_is_read_to_its_end_page_by_page(connection: AsyncConnection) -> None:
    pages, before = [], None
    while True:
        page = await blocks.blocks(connection, Cut(before, 2))
        pages.append([block.number for block in page.rows])
        if (before := page.older) is None:
            break
    assert pages == [[60, 50], [40, 30], [20, 10]]


async def test_every_list_goes_on_where_it_ended(connection: AsyncConnection) -> None:
    """Each in pages of one, against all of it at once: no row twice, none left out."""
    lists = {
        "accounts": lambda cut: accounts.accounts(connection, cut),
        "channels": lambda cut: channels.channels(connection, cut),
        "events": lambda cut: events.of_payer(connection, cut, BOB),
        "life": lambda cut: channels.life(connection, cut, small.FIRST.id),
        "offers": lambda cut: offers.offers(connection, cut, MOMENT, every=True, provider=CARL),
        "providers": lambda cut: providers.providers(connection, cut),
        "settlements": lambda cut: settlements.settlements(connection, cut, settlements.Only()),
        "transactions": lambda cut: transactions.transactions(connection, cut, transactions.Only()),
    }
    for name, read in lists.items():
        whole = (await read(ALL)).rows
        assert len(whole) > 1, name
        found, before = [], None
        while True:
            page = await read(Cut(before, 1))
            found += page.rows
            if (before := page.older) is None:
                break
        assert tuple(found) == whole, name


@pytest.mark.parametrize("before", ["", "x", "1", "1-", "-1-1", "1-0x00", "1-" + "9" * 30, "٣-1", "9" * 300])
async def test_a_key_that_ended_no_page_is_refused(connection: AsyncConnection, before: str) -> None:
    with pytest.raises(Malformed):
        await settlements.settlements(connection, Cut(before), settlements.Only())


async def test_transactions_of_one_sender_of_one_block_and_those_that_failed(
    connection: AsyncConnection,
) -> None:
    async def places(only: transactions.Only) -> list[tuple[int, int]]:
        found = await transactions.transactions(connection, ALL, only)
        return [(sent.block, sent.position) for sent in found.rows]

    assert await places(transactions.Only(sender=CARL)) == [(60, 0), (30, 0), (10, 0)]
    assert await places(transactions.Only(block=30)) == [(30, 1), (30, 0)]
    assert await places(transactions.Only(failed=True)) == [(30, 1)]
    assert await places(transactions.Only(failed=True, sender=CARL)) == []


async def test_a_transaction_with_its_input_and_what_it_logged(connection: AsyncConnection) -> None:
    found = await transactions.transaction(connection, hash_of(0x7000 + 3_000))
    assert found is not None
    assert (found.transaction.call, found.input) == ("settle", small.settle_call())
    logged = await transactions.logged(connection, 30, 0, limit=3)
    assert [event.name for event in logged] == ["Settled", "Settled", "RowSkipped"]
    assert await transactions.transaction(connection, hash_of(1)) is None


async def test_an_account_s_atoms_add_up(connection: AsyncConnection) -> None:
    """Locked is what its open channels hold."""
    for address, locked in ((ALICE, 1_000 - 200), (BOB, 700 - 200)):
        account = await accounts.account(connection, address)
        assert account is not None
        assert account.locked == locked
    assert await accounts.account(connection, CARL) is None


async def test_a_channel_s_other_lives_and_what_happened_in_this_one(connection: AsyncConnection) -> None:
    channel = await channels.channel(connection, small.FIRST.id)
    assert channel is not None
    assert channel.left == 0
    assert [life.epoch for life in await channels.epochs(connection, channel)] == [1, 0]
    moments = (await channels.life(connection, ALL, small.FIRST.id)).rows
    assert [(moment.event.name, moment.paid) for moment in moments] == [
        ("ChannelClosed", None),
        ("RowSkipped", None),
        ("Settled", 150),
        ("ChannelOpened", None),
    ]
    again = await channels.channel(connection, small.AGAIN.id)
    assert again is not None
    assert again.left == 800


async def test_channels_of_a_payer_and_of_a_provider(connection: AsyncConnection) -> None:
    of_bob = await channels.channels(connection, ALL, payer=BOB)
    assert {channel.channel_id for channel in of_bob.rows} == {small.CLOSING.id, small.LAST.id}
    both = await channels.channels(connection, ALL, payer=BOB, provider=CARL)
    assert [channel.channel_id for channel in both.rows] == [small.CLOSING.id]


async def test_a_settlement_with_its_share_and_the_receipts_that_it_paid(connection: AsyncConnection) -> None:
    settlement = await settlements.settlement(connection, 30, 0)
    assert settlement is not None
    assert settlement.paid == 150
    assert await settlements.rows_beside(connection, settlement) == 3
    paid_for = await receipts.under(connection, ALL, settlement)
    assert [receipt.sequence for receipt in paid_for.rows] == [1, 0]
    assert await settlements.settlement(connection, 30, 2) is None, "A skipped row settled nothing."


async def test_a_receipt_and_the_settlement_that_paid_it(connection: AsyncConnection) -> None:
    printed = await receipts.receipt(connection, small.FIRST.id, 1)
    assert printed is not None
    paid = await settlements.that_paid(connection, small.FIRST.id, printed.receipt.cumulative_cost)
    assert paid is not None
    assert (paid.block, paid.log_index) == (30, 0)
    assert await settlements.that_paid(connection, small.FIRST.id, 200) is None
    offer = await receipts.offer(connection, printed.receipt.offer_hash)
    assert offer is not None
    assert offer.model == small.MODEL
    found = await receipts.of_channel(connection, small.FIRST.id, below=2, limit=10)
    assert [receipt.sequence for receipt in found] == [1, 0]


async def test_what_the_published_receipts_explain_is_no_more_than_was_settled(
    connection: AsyncConnection,
) -> None:
    found = await explained(connection, CARL)
    assert (found.receipts, found.requests) == (2, 1), "The third receipt was never paid."
    assert (found.input_tokens, found.output_tokens, found.atoms) == (40, 24 + 39, 150)
    assert (await explained(connection, DORA)).receipts == 0


async def test_uptime_counts_hours_from_the_first_offer(connection: AsyncConnection) -> None:
    """Settled in the hours 3 and 6; receipts ended in 1, 2 and 9; eleven hours, the present one included."""
    hours = await providers.hours(connection, CARL)
    found = await providers.uptime(connection, CARL, hours, NOW + 10)
    assert found is not None
    assert (found.since, found.hours, found.seen) == (START, 11, 5)
    assert await providers.uptime(connection, DORA, hours, NOW) is None, "She never posted an offer."


async def test_uptime_forgives_a_clock_that_is_behind(connection: AsyncConnection) -> None:
    hours = await providers.hours(connection, CARL)
    found = await providers.uptime(connection, CARL, hours, START - 5 * HOUR)
    assert found is not None
    assert (found.hours, found.seen) == (1, 0)


async def test_uptime_counts_no_hour_that_has_not_come(tmp_path: Path) -> None:
    """A receipt's times are its provider's own: it may sign hours that are far off, or long gone."""
    market = small.Small()
    receipt = market.rows[schema.receipts][0]
    for number, at in enumerate(((NOW + HOUR) * 1_000, 2**63 - 1, 0, START * 1_000 - 1)):
        market.put(schema.receipts, **{**receipt, "sequence": 100 + number, "finished_at": at})
    path = tmp_path / "explorer.db"
    market.write(f"sqlite:///{path}")
    engine = reading(f"sqlite+aiosqlite:///{path}")
    async with engine.connect() as connection:
        found = await providers.uptime(connection, CARL, await providers.hours(connection, CARL), NOW)
    await engine.dispose()
    assert found is not None
    assert (found.hours, found.seen) == (11, 5)


async def test_a_provider_with_its_keys_offers_and_hours(connection: AsyncConnection) -> None:
    provider = await providers.provider(connection, CARL)
    assert provider is not None
    assert [key.receipt_key for key in await providers.receipt_keys(connection, CARL)] == [ALICE, CARL]
    posted = (await offers.offers(connection, ALL, MOMENT, every=True, provider=CARL)).rows
    assert [offer.model for offer in posted] == [small.HOSTILE_MODEL, small.MODEL]
    assert (await offers.offers(connection, ALL, MOMENT, every=True, provider=DORA)).rows == ()
    assert [(hour.hour, hour.paid) for hour in await providers.hours(connection, CARL)] == [
        (START + 3 * HOUR, 350),
        (START + 6 * HOUR, 200),
    ]


async def test_slashes_refused_reports_and_skips(connection: AsyncConnection) -> None:
    (fraud,) = (await disputes.frauds(connection, ALL)).rows
    assert (fraud.kind, fraud.provider, fraud.evidence["cost"]) == ("overcharge", DORA, "20")
    assert (await disputes.frauds(connection, ALL, provider=CARL)).rows == ()
    (refused,) = (await disputes.refused_reports(connection, ALL)).rows
    assert refused.error is not None
    assert [event.name for event in (await events.named(connection, ALL, "RowSkipped")).rows] == [
        "RowSkipped"
    ]


async def test_what_failed_is_found_without_looking_at_what_succeeded(tmp_path: Path) -> None:
    """A list of failed transactions, and one of refused reports, whatever else is in the table."""
    path = tmp_path / "explorer.db"
    market = small.Small()
    for number in range(60):
        call = ("slashOvercharge", "exit", "slash")[number % 3]
        market.sent(200 + number, 0, call, EVE, succeeded=False, error="No.")
    market.write(f"sqlite:///{path}")
    engine = reading(f"sqlite+aiosqlite:///{path}")
    plans: list[str] = []
    async with engine.connect() as connection:
        found, cut = [], Cut(limit=7)
        while True:
            page = await disputes.refused_reports(connection, cut)
            found += page.rows
            if page.older is None:
                break
            cut = Cut(page.older, 7)
        assert len(found) == 41
        assert found == sorted(found, key=lambda sent: (sent.block, sent.position), reverse=True)
        assert {sent.call for sent in found} == {"slashOvercharge", "slash"}
        table = schema.transactions.c
        for where in ((), (table.call == "slash",)):
            statement = Transaction.select().where(table.succeeded == false(), *where)
            ordered = statement.order_by(table.block.desc(), table.position.desc())
            query = str(ordered.compile(connection.sync_connection, compile_kwargs={"literal_binds": True}))
            plans += [row[3] for row in await connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))]
    await engine.dispose()
    assert [plan.rpartition("USING INDEX ")[2].split(" ")[0] for plan in plans] == [
        "transactions_failed",
        "transactions_failed_calls",
    ], plans
