"""Accounts: payers and what they have in the market."""

from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer import schema
from tallystick_node.explorer.paging import Cut
from tallystick_node.explorer.queries.listed import listed
from tallystick_node.explorer.queries.rows import Account
from tallystick_node.explorer.values import Address, Listing

_TABLE = schema.accounts.c


async def accounts(connection: AsyncConnection, cut: Cut) -> Listing[Account]:
    """Those that paid most first."""
    return await listed(connection, cut, Account, _TABLE.paid, _TABLE.address)


async def account(connection: AsyncConnection, address: Address) -> Account | None:
    row = (await connection.execute(Account.select().where(_TABLE.address == address))).first()
    return None if row is None else Account.of(row)
