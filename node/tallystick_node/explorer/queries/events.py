"""Events of somebody, of a channel, of a block or of a kind."""

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer import schema
from tallystick_node.explorer.paging import Cut
from tallystick_node.explorer.queries.listed import listed
from tallystick_node.explorer.queries.rows import Event
from tallystick_node.explorer.values import Address, Hash, Listing

_TABLE = schema.events.c


async def every(connection: AsyncConnection, cut: Cut) -> Listing[Event]:
    return await _events(connection, cut)


async def of_payer(connection: AsyncConnection, cut: Cut, payer: Address) -> Listing[Event]:
    return await _events(connection, cut, _TABLE.payer == payer)


async def of_provider(connection: AsyncConnection, cut: Cut, provider: Address) -> Listing[Event]:
    return await _events(connection, cut, _TABLE.provider == provider)


async def of_channel(connection: AsyncConnection, cut: Cut, channel_id: Hash) -> Listing[Event]:
    return await _events(connection, cut, _TABLE.channel_id == channel_id)


async def of_duel(connection: AsyncConnection, cut: Cut, duel: Hash) -> Listing[Event]:
    return await _events(connection, cut, _TABLE.duel == duel)


async def of_accusation(connection: AsyncConnection, cut: Cut, accusation: Hash) -> Listing[Event]:
    return await _events(connection, cut, _TABLE.accusation == accusation)


async def of_block(connection: AsyncConnection, cut: Cut, number: int) -> Listing[Event]:
    return await _events(connection, cut, _TABLE.block == number)


async def named(connection: AsyncConnection, cut: Cut, name: str) -> Listing[Event]:
    return await _events(connection, cut, _TABLE.name == name)


async def _events(connection: AsyncConnection, cut: Cut, *which: ColumnElement[bool]) -> Listing[Event]:
    """Newest first."""
    return await listed(connection, cut, Event, _TABLE.block, _TABLE.log_index, where=which)
