"""A small explorer: tables in a file, a site over them, and a client that asks its pages."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Table, create_engine, insert, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from tallystick.chain.deployment import Deployment
from tallystick.chain.local import LocalChain, deploy
from tallystick.chain.market import Asset
from tallystick.protocol.units import Address
from tallystick_node.explorer.app import make_app
from tallystick_node.explorer.database import reading, writing
from tallystick_node.explorer.guard import Limit
from tallystick_node.explorer.index.filling import fill
from tallystick_node.explorer.schema import METADATA, VERSION, progress
from tallystick_node.explorer.site import Site
from tallystick_node.local.postgres import running
from tests.conftest import Parties

from .halves import Held, hold
from .indexing import index
from .small import Small
from .trading import Traded, trade

Write = Callable[..., None]
NOW = 1_700_000_100
"""Unix seconds of the site's clock."""
HEAD = {
    "id": 1,
    "version": VERSION,
    "chain_id": 31337,
    "market": b"\x01" * 20,
    "block": 120,
    "hash": b"\x78" * 32,
    "timestamp": NOW - 12,
    "final": 57,
}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Made, and empty but for how far it was read."""
    path = tmp_path / "explorer.db"
    engine = create_engine(f"sqlite:///{path}")
    METADATA.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(progress), HEAD)
    engine.dispose()
    return path


@pytest.fixture
def write(database: Path) -> Iterator[Write]:
    """`write(table, {…}, {…})` adds rows."""
    engine = create_engine(f"sqlite:///{database}")

    def rows(table: Table, *values: Mapping[str, Any]) -> None:
        with engine.begin() as connection:
            connection.execute(insert(table), list(values))

    yield rows
    engine.dispose()


@pytest.fixture
def site(database: Path) -> Site:
    address = Address(b"\x01" * 20)
    return Site(
        database=reading(f"sqlite+aiosqlite:///{database}"),
        deployment=Deployment(chain_id=31337, market=address, asset=address, lens=address, block=1),
        asset=Asset(symbol="TUSD", decimals=6),
        now=lambda: NOW,
    )


@contextmanager
def asked(site: Site, limit: Limit | None = None) -> Iterator[TestClient]:
    """A client of a site, in one event loop, as its connections want; what the site opened is closed."""
    with TestClient(make_app(site, limit=limit)) as client:
        yield client
        assert client.portal is not None
        client.portal.call(site.database.dispose)
        if site.node is not None:
            client.portal.call(site.node.close)


@contextmanager
def asked_without_index(site: Site, tmp_path: Path) -> Iterator[TestClient]:
    """`asked` of a site whose database is not there. Threads of connections that could not be made end by
    themselves (aiosqlite), and tell the event loop so, which must be there still."""
    with asked(replace(site, database=reading(f"sqlite+aiosqlite:///{tmp_path / 'missing.db'}"))) as client:
        yield client
        for thread in threading.enumerate():
            if "_connection_worker_thread" in thread.name:
                thread.join(10)


@pytest.fixture
def client(site: Site) -> Iterator[TestClient]:
    with asked(site) as client:
        yield client


@pytest.fixture(scope="session")
def market_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made market of some 2,000 settlements, in which everything happened, for `DEPLOYMENT` of
    `made_block`; to be read only."""
    path = tmp_path_factory.mktemp("made") / "explorer.db"

    async def make() -> None:
        engine = writing(f"sqlite+aiosqlite:///{path}")
        try:
            await fill(engine, 2_000)
        finally:
            await engine.dispose()

    asyncio.run(make())
    return path


@pytest.fixture(scope="module")
def traded_db(traded_once: Traded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of `traded`; to be read only."""
    path = tmp_path_factory.mktemp("traded") / "traded.db"
    asyncio.run(index(traded_once, f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server's address for SQLAlchemy, without the driver's name."""
    with running() as address:
        yield address


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def small_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The small market in either database; to be read only."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("small") / "explorer.db"
        Small().write(f"sqlite:///{path}")
        yield f"sqlite+aiosqlite:///{path}"
        return
    address = request.getfixturevalue("postgres")
    name = f"small_{uuid4().hex}"
    asyncio.run(_written(f"postgresql+asyncpg://{address}", name))
    yield f"postgresql+asyncpg://{address.replace('/postgres?', f'/{name}?')}"


async def _written(url: str, name: str) -> None:
    server = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with server.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    await server.dispose()
    engine = create_async_engine(make_url(url).set(database=name))
    async with engine.begin() as connection:
        await connection.run_sync(Small().insert)
    await engine.dispose()


@pytest.fixture
def held(local_chain, deployment, funded_payer, staked_provider) -> Held:
    """A market on a real chain whose parties hold receipts."""
    return hold(local_chain, deployment, funded_payer, staked_provider)


@pytest.fixture
def auditor(held: Held, tmp_path: Path) -> Iterator[TestClient]:
    """A client of an explorer that has indexed `held`, and takes publications."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'held.db'}"
    asyncio.run(index(held, url))
    site = Site(
        database=reading(url),
        writing=writing(url),
        deployment=held.deployment,
        asset=Asset(symbol="TUSD", decimals=6),
    )
    with asked(site) as client:
        yield client
        assert client.portal is not None
        assert site.writing is not None
        client.portal.call(site.writing.dispose)


@pytest.fixture(scope="module")
def traded_once(local_chain: LocalChain) -> Traded:
    return trade(Parties(local_chain, deploy(local_chain.rpc, local_chain.keys[0])))


@pytest.fixture
def traded(traded_once: Traded) -> Iterator[Traded]:
    """A market on a real chain that ran every kind of trade once, failures included. What a test adds to the
    chain is taken back after it."""
    rpc = traded_once.chain.rpc
    before = rpc.call("evm_snapshot")
    yield traded_once
    rpc.call("evm_revert", before)
