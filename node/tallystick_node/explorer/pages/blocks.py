"""`/blocks` and `/block/…`. A block in which nothing of the market happened is asked of the node."""

from tallystick_node.explorer.answers import NodeBlock
from tallystick_node.explorer.errors import NotFound
from tallystick_node.explorer.pages.asking import FEW, block_name, told_by_node
from tallystick_node.explorer.pages.frame import Db, Pages
from tallystick_node.explorer.paging import Cutting
from tallystick_node.explorer.queries import blocks as queries
from tallystick_node.explorer.queries import events, transactions
from tallystick_node.explorer.queries.rows import Block, Event, Transaction
from tallystick_node.explorer.site import Site, TheSite
from tallystick_node.explorer.values import Hash, Listing, shown

pages = Pages()


@shown
class BlockPage:
    """One block: as the index has it, or else as the node tells it."""

    number: int
    hash: Hash
    parent: Hash
    timestamp: int
    indexed: Block | None
    told: NodeBlock | None
    near: queries.Neighbours
    transactions: Listing[Transaction]
    """The last of the market's; `/transactions?block=…` has all."""
    events: Listing[Event]


@pages.table("/blocks", "blocks.html")
async def blocks(db: Db, cut: Cutting) -> Listing[Block]:
    """Blocks that hold something of the market, newest first."""
    return await queries.blocks(db, cut)


@pages.page("/block/{at}", "block.html")
async def block(at: str, db: Db, cut: Cutting, site: TheSite) -> BlockPage:
    """One block of the chain, by number or hash."""
    name = block_name(at)
    indexed = await queries.block(db, name)
    told = await _told(site, name) if indexed is None else None
    found = indexed or told
    if found is None:
        raise NotFound("The chain has no such block, as far as this explorer's node knows.")
    return BlockPage(
        number=found.number,
        hash=found.hash,
        parent=found.parent,
        timestamp=found.timestamp,
        indexed=indexed,
        told=told,
        near=await queries.neighbours(db, found.number),
        transactions=await transactions.transactions(db, FEW, transactions.Only(block=found.number)),
        events=await events.of_block(db, cut, found.number),
    )


async def _told(site: Site, name: int | bytes) -> NodeBlock | None:
    if site.node is None:
        raise NotFound(
            "Nothing of the market is in this block, and this explorer has no node to ask for more."
        )
    return await told_by_node(site.node.block(name))
