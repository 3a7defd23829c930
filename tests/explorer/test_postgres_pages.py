"""Every kind of page over PostgreSQL says what it says over SQLite: JSON for JSON."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from tallystick.chain.deployment import Deployment
from tallystick.chain.market import Asset
from tallystick.protocol.units import Address
from tallystick_node.explorer import schema
from tallystick_node.explorer.database import reading
from tallystick_node.explorer.site import Site
from tests.explorer import small
from tests.explorer.conftest import asked
from tests.explorer.test_market_pages import HOSTILE, ONE_HIT, filled, hexed
from tests.explorer.test_thing_pages import PAGES

TWINS = (
    *("/overview?days=1", "/models", f"/model/{small.MODEL}", HOSTILE, "/offers?every=true", "/hours"),
    *("/series?days=1", "/series?days=40", f"/offer/{hexed(small.OFFERED)}", "/health"),
    *(page for page in PAGES if page.count("/") > 1 or "?" in page or page in ("/blocks", "/disputes")),
)


def site_over(url: str) -> Site:
    address = Address(small.MARKET)
    return Site(
        database=reading(url),
        deployment=Deployment(chain_id=31337, market=address, asset=address, lens=address, block=1),
        asset=Asset(symbol="TUSD", decimals=6),
        now=lambda: small.NOW,
    )


async def write(server: str) -> str:
    """Into a database of its own, whose URL it is."""
    maker = create_async_engine(f"postgresql+asyncpg://{server}", isolation_level="AUTOCOMMIT")
    async with maker.connect() as connection:
        await connection.execute(text("CREATE DATABASE pages"))
    await maker.dispose()
    url = f"postgresql+asyncpg://{server.replace('/postgres?', '/pages?')}"
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(schema.METADATA.create_all)
        for table, rows in filled().rows.items():
            if rows:
                await connection.execute(insert(table), rows)
    await engine.dispose()
    return url


@pytest.fixture(scope="module")
def over_postgres(postgres: str) -> Iterator[TestClient]:
    with asked(site_over(asyncio.run(write(postgres)))) as client:
        yield client


@pytest.fixture(scope="module")
def over_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    path: Path = tmp_path_factory.mktemp("small") / "explorer.db"
    filled().write(f"sqlite:///{path}")
    with asked(site_over(f"sqlite+aiosqlite:///{path}")) as client:
        yield client


def canonical(client: TestClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.text)
    return json.dumps(answer.json(), sort_keys=True)


@pytest.mark.parametrize("path", TWINS)
def test_both_databases_say_the_same(over_postgres: TestClient, over_sqlite: TestClient, path: str) -> None:
    assert canonical(over_postgres, f"/api{path}") == canonical(over_sqlite, f"/api{path}")


@pytest.mark.parametrize("word", [*ONE_HIT, "a", "l%", "_", "a\0b", "E"])
def test_both_databases_find_the_same(over_postgres: TestClient, over_sqlite: TestClient, word: str) -> None:
    found = [
        sorted(map(str, client.get("/api/search", params={"q": word}).json()["hits"]))
        for client in (over_postgres, over_sqlite)
    ]
    assert found[0] == found[1]


def test_no_page_can_write_there_either(over_postgres: TestClient) -> None:
    site: Site = over_postgres.app.state.site  # type: ignore[attr-defined]

    async def delete() -> None:
        async with site.database.begin() as connection:
            await connection.execute(text("DELETE FROM progress"))

    assert over_postgres.portal is not None
    with pytest.raises(DBAPIError, match="read-only"):
        over_postgres.portal.call(delete)
