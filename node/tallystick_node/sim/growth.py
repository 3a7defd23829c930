"""How the explorer's index grows with what is settled: a market that never was, written by the index's own
writer into SQLite."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tallystick_node.explorer.database import writing
from tallystick_node.explorer.index.filling import fill


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """For each settled row, beyond what an index takes that holds half as many."""

    row_bytes: float
    row_s: float
    """Core time."""


def growth(rows: int) -> Growth:
    half, whole = (_filled(count) for count in (rows // 2, rows))
    more = rows - rows // 2
    return Growth(row_bytes=(whole[0] - half[0]) / more, row_s=(whole[1] - half[1]) / more)


def _filled(rows: int) -> tuple[int, float]:
    """(bytes, seconds)"""
    with tempfile.TemporaryDirectory(prefix="tallystick-growth-") as folder:
        file = Path(folder) / "index.db"
        began = time.process_time()
        asyncio.run(_fill(f"sqlite+aiosqlite:///{file}", rows))
        taken = time.process_time() - began
        return sum(part.stat().st_size for part in Path(folder).iterdir()), taken


async def _fill(url: str, rows: int) -> None:
    engine = writing(url)
    await fill(engine, rows)
    await engine.dispose()
