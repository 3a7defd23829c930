"""The database: as pages see it, who can read it and nothing else, and as the index's writer does.

For pages SQLite opens the file read-only, PostgreSQL refuses to write in the session; both show one page one
state of the index, however many queries it asks.
"""

import shutil
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECTIONS = 8
"""At once. Each of SQLite's is a thread."""
STATEMENT_TIMEOUT_MS = 10_000
PATIENCE_S = 10
"""Waited for one of the connections."""


def reading(url: str) -> AsyncEngine:
    """An engine over the database of `url` through which nothing can be written."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        assert parsed.database, "A database in memory has no second reader."
        parsed = parsed.set(database=f"file:{parsed.database}", query={"mode": "ro", "uri": "true"})
        engine = create_async_engine(parsed, pool_size=CONNECTIONS, max_overflow=0, pool_timeout=PATIENCE_S)
        event.listen(engine.sync_engine, "begin", _begin)
        return engine
    options = {
        "default_transaction_read_only": "on",
        "statement_timeout": str(STATEMENT_TIMEOUT_MS),
    }
    return create_async_engine(
        parsed,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=PATIENCE_S,
        isolation_level="REPEATABLE READ",
        connect_args=_server_settings(options),
    )


def free_bytes(url: str) -> int | None:
    """Of the disk that SQLite's file lies on; None where another server keeps the database."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    assert parsed.database, "A database in memory has no second reader."
    return shutil.disk_usage(Path(parsed.database).parent).free


def _begin(connection: Connection) -> None:
    """Python's driver begins no transaction for a query: each would show a state of its own."""
    connection.exec_driver_sql("BEGIN")


def _server_settings(options: dict[str, str]) -> dict[str, Any]:
    return {"server_settings": options}


def writing(url: str) -> AsyncEngine:
    """An engine for whoever fills the index. What a cut of power takes of it is read from the chain again."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_async_engine(
            parsed, pool_size=2, connect_args=_server_settings({"synchronous_commit": "off"})
        )
    assert parsed.database, "A database in memory has no second reader."
    Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(parsed, pool_size=2)
    event.listen(engine.sync_engine, "connect", _prepare)
    return engine


def _prepare(connection: Any, _: Any) -> None:
    """Readers see what was committed while more is written."""
    cursor = connection.cursor()
    for pragma in (
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "busy_timeout = 10000",
        "cache_size = -65536",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
