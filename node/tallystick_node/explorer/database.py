"""The database as pages see it: they can read it and nothing else.

SQLite opens the file read-only, PostgreSQL refuses to write in the session; both show one page one state of
the index, however many queries it asks.
"""

from typing import Any

from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECTIONS = 8
"""At once. Each of SQLite's is a thread."""
STATEMENT_TIMEOUT_MS = 10_000


def reading(url: str) -> AsyncEngine:
    """An engine over the database of `url` through which nothing can be written."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        assert parsed.database, "A database in memory has no second reader."
        parsed = parsed.set(database=f"file:{parsed.database}", query={"mode": "ro", "uri": "true"})
        return create_async_engine(parsed, pool_size=CONNECTIONS, max_overflow=0)
    options = {
        "default_transaction_read_only": "on",
        "statement_timeout": str(STATEMENT_TIMEOUT_MS),
    }
    return create_async_engine(
        parsed,
        pool_size=CONNECTIONS,
        max_overflow=0,
        isolation_level="REPEATABLE READ",
        connect_args=_server_settings(options),
    )


def _server_settings(options: dict[str, str]) -> dict[str, Any]:
    return {"server_settings": options}
