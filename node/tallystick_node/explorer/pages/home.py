"""`/`: the market at a glance, and `/live`: that a new block was read."""

from collections.abc import AsyncIterator

from fastapi.sse import EventSourceResponse, ServerSentEvent

from tallystick_node.explorer.pages.frame import Db, Pages
from tallystick_node.explorer.queries import home as queries
from tallystick_node.explorer.site import TheSite

pages = Pages()


@pages.page("/", "home.html")
async def overview(db: Db) -> queries.Overview:
    """The market at a glance."""
    return await queries.overview(db)


@pages.router.get("/live", response_class=EventSourceResponse, include_in_schema=False)
async def live(site: TheSite) -> AsyncIterator[ServerSentEvent]:
    async with site.live.listen() as heads:
        async for head in heads:
            yield ServerSentEvent(data={"block": head.block, "behind": head.behind}, event="block")
