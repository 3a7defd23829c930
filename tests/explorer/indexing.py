"""The index as tests make it and look at it."""

from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, select

from tallystick_node.explorer.database import writing
from tallystick_node.explorer.index.indexer import Indexer
from tallystick_node.explorer.index.writer import Writer
from tallystick_node.explorer.live import Head

from .halves import Held
from .trading import Traded


async def index(done: Traded | Held, url: str) -> list[Head]:
    """As far as the chain goes; what was published."""
    heads: list[Head] = []

    async def publish(head: Head) -> None:
        heads.append(head)

    engine = writing(url)
    indexer = Indexer(done.chain.rpc, done.deployment, Writer(engine, done.deployment), publish)
    try:
        while await indexer.step():
            pass
    finally:
        await engine.dispose()
    return heads


class Tables:
    """What is in them."""

    def __init__(self, path: Path):
        self._engine = create_engine(f"sqlite:///{path}")

    def rows(self, table: Any) -> list[Any]:
        with self._engine.connect() as db:
            return list(db.execute(select(table).order_by(*table.primary_key)).all())

    def by(self, table: Any, column: str) -> dict[Any, Any]:
        return {getattr(row, column): row for row in self.rows(table)}
