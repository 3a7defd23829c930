"""The market at a glance."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from tallystick_node.explorer.schema import progress
from tallystick_node.explorer.values import Hash, shown


@shown
class Overview:
    block: int
    hash: Hash


async def overview(db: AsyncConnection) -> Overview:
    found = (await db.execute(select(progress.c.block, progress.c.hash))).one()
    return Overview(block=found.block, hash=found.hash)
