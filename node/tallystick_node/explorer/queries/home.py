"""The market at a glance: totals that no row holds, each from a table that is small by its nature."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Column, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer import schema
from tallystick_node.explorer.live import Head
from tallystick_node.explorer.queries.rows import Block
from tallystick_node.explorer.queries.sums import parts_of, together
from tallystick_node.explorer.values import Amount, shown

NEWEST: Final = 8
"""Blocks, settlements and transactions shown."""
_SUMS: Final = ("held", "owed", "duels_held", "duels_owed", "audits_held", "audits_owed")


@shown
class Totals:
    """Since the market began."""

    transactions: int
    settlements: int
    channels: int
    """Opened, an epoch each."""
    closed: int
    settled: Amount
    deposited: Amount
    settle_gas: int
    locked: Amount
    """In channels, not settled, now."""
    staked: Amount
    """Now."""
    providers: int
    """With a stake now."""

    @property
    def gas_per_settlement(self) -> int:
        """Rounded up."""
        return -(-self.settle_gas // self.settlements) if self.settlements else 0


@shown
class Conservation:
    """INV-1 and INV-11 at a block: what the asset's transfers left with the market, its duels and its audits,
    and what their events have them owe."""

    block: int
    held: Amount
    owed: Amount
    balance: Amount | None
    """What the asset itself says that the market holds; none: it was not asked at that block."""
    duels_held: Amount
    duels_owed: Amount
    """Fees whose duels are not over, and balances."""
    duels_balance: Amount | None
    duels_burnt: Amount
    """Of fees and prizes, so far: what nobody earned. It left the contract."""
    audits_held: Amount
    audits_owed: Amount
    """Fees whose accusations are not over, and balances."""
    audits_balance: Amount | None
    audits_burnt: Amount
    """Of fees, so far."""
    conserved: bool
    """Each holds at least what it owes, by either: anybody may send them more."""


async def totals(connection: AsyncConnection) -> Totals:
    hours, providers = schema.hours.c, schema.providers.c
    counts = (hours.transactions, hours.settlements, hours.opened, hours.closed, hours.settle_gas)
    sums = select(*(func.coalesce(func.sum(column), 0) for column in counts))
    transactions, settlements, channels, closed, settle_gas = (await connection.execute(sums)).one()
    settled = (await connection.execute(select(*parts_of(hours.settled)))).one()
    deposited = (await connection.execute(select(*parts_of(hours.deposited)))).one()
    newest = select(hours.locked, hours.staked).order_by(hours.hour.desc()).limit(1)
    level = (await connection.execute(newest)).first()
    staked = select(func.count()).select_from(schema.providers).where(providers.staked > 0)
    return Totals(
        transactions=int(transactions),
        settlements=int(settlements),
        channels=int(channels),
        closed=int(closed),
        settle_gas=int(settle_gas),
        settled=together(settled),
        deposited=together(deposited),
        locked=level.locked if level else 0,
        staked=level.staked if level else 0,
        providers=(await connection.execute(staked)).scalar_one(),
    )


async def conservation(connection: AsyncConnection, at: int, head: Head | None) -> Conservation:
    """At a block that was read. `head` may know what the asset says of the newest."""
    table = schema.blocks.c
    statement = select(*(table[name] for name in _SUMS)).where(table.number <= at)
    found = (await connection.execute(statement.order_by(table.number.desc()).limit(1))).first()
    sums: dict[str, Any] = dict(zip(_SUMS, found or (0,) * len(_SUMS), strict=True))
    known = head.balances if head is not None and head.block == at else None
    balances: dict[str, Any] = {
        "balance": None if known is None else known.market,
        "duels_balance": None if known is None else known.duels,
        "audits_balance": None if known is None else known.audits,
    }
    return Conservation(
        block=at,
        **{**sums, **balances},
        duels_burnt=await _burnt(connection, schema.duels.c.burnt, schema.duels.c.ended_block, at),
        audits_burnt=await _burnt(
            connection, schema.accusations.c.burnt, schema.accusations.c.concluded_block, at
        ),
        conserved=all(
            _least(sums[f"{stem}held"], balances[f"{stem}balance"]) >= sums[f"{stem}owed"]
            for stem in ("", "duels_", "audits_")
        ),
    )


def _least(held: int, balance: int | None) -> int:
    return held if balance is None else min(held, balance)


async def _burnt(connection: AsyncConnection, burnt: Column[int], ended: Column[int], at: int) -> int:
    over = select(*parts_of(burnt)).where(ended > 0, ended <= at)
    return together((await connection.execute(over)).one())


async def newest_blocks(connection: AsyncConnection) -> Sequence[Block]:
    """Whether they hold anything of the market or not."""
    statement = Block.select().order_by(schema.blocks.c.number.desc()).limit(NEWEST)
    return [Block.of(row) for row in await connection.execute(statement)]
