"""How good providers' answers are, by the duels that ended: computed when another duel has, and kept."""

import asyncio
from collections.abc import Mapping

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick.protocol import strength
from tallystick.protocol.strength import Decided
from tallystick.protocol.units import Address
from tallystick.protocol.vote import Choice, vote_of_choice
from tallystick_node.explorer import schema
from tallystick_node.explorer.kept import Kept

_TABLE = schema.duels.c


async def strengths(connection: AsyncConnection, kept: Kept) -> Mapping[Address, float]:
    """Of each provider that duelled, as `protocol.strength` has it."""

    async def ask() -> Mapping[Address, float]:
        return await asyncio.to_thread(strength.strengths, await _decided(connection))

    return await kept.get("strengths", await _version(connection), ask)


async def _version(connection: AsyncConnection) -> tuple[int, bytes | None]:
    """How many ended, and in which block the last of them did: a block that was taken back has another
    hash."""
    ended = select(func.max(_TABLE.ended_block)).where(_TABLE.final_verdict > 0)
    last = await connection.scalar(ended)
    count = select(func.count()).where(_TABLE.ended_block == (last or -1))
    hashed = select(schema.blocks.c.hash).where(schema.blocks.c.number == (last or -1))
    return await connection.scalar(count) or 0, await connection.scalar(hashed)


async def _decided(connection: AsyncConnection) -> list[Decided]:
    """Every duel whose money has moved."""
    columns = (_TABLE.first, _TABLE.second, _TABLE.final_verdict)
    ended = select(*columns).where(_TABLE.final_verdict > 0, _TABLE.root == _TABLE.duel)
    return [
        Decided(
            first=Address(row.first),
            second=Address(row.second),
            verdict=vote_of_choice(Choice(row.final_verdict)),
        )
        for row in await connection.execute(ended)
    ]
