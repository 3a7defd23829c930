"""The database as a page sees it: one state, whatever the index does meanwhile."""

from pathlib import Path

from sqlalchemy import select, update

from tallystick_node.explorer.database import reading, writing
from tallystick_node.explorer.schema import progress


async def test_a_page_sees_one_state_though_the_index_goes_on(database: Path) -> None:
    """Else a page that is made while the chain takes a block back would show parts of both."""
    url = f"sqlite+aiosqlite:///{database}"
    pages, index = reading(url), writing(url)
    block = select(progress.c.block)
    async with index.begin() as writer:  # From now on readers and the writer do not wait for one another.
        await writer.execute(block)
    async with pages.connect() as page:
        before = await page.scalar(block)
        async with index.begin() as writer:
            await writer.execute(update(progress).values(block=before + 1))
        assert await page.scalar(block) == before
    async with pages.connect() as page:
        assert await page.scalar(block) == before + 1
    await pages.dispose()
    await index.dispose()
