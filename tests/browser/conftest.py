"""A browser as a visitor has it (Debian's chromium), and an explorer over a small market that it looks at.

Whatever a page says on the console, asks of another server, or throws fails its test.
"""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from sqlalchemy import create_engine, update

from tallystick.chain.deployment import Deployment
from tallystick.chain.local import LocalChain, deploy
from tallystick.chain.market import Asset, Market
from tallystick.chain.rpc import Rpc
from tallystick.chain.sender import Sender
from tallystick.protocol.units import Address, Atoms
from tallystick_node import listening
from tallystick_node.explorer import schema
from tallystick_node.explorer.app import make_app
from tallystick_node.explorer.database import reading
from tallystick_node.explorer.live import Head, Live
from tallystick_node.explorer.node import Node
from tallystick_node.explorer.site import Site
from tallystick_node.local.explorer import LocalExplorer
from tallystick_node.local.market import LocalMarket
from tallystick_node.local.process import free_ports
from tests.browser.shop import Shop
from tests.explorer import small
from tests.warm import Warm

expect.set_options(timeout=30_000)
"""Milliseconds, as everything else of a browser has: machines that run this are shared."""


STAKE = Atoms(100_000_000)
SMALL = Deployment(
    chain_id=31337,
    market=Address(small.MARKET),
    asset=Address(small.ASSET),
    lens=Address(small.MARKET),
    block=1,
)


class Explorer:
    """A server in a thread of its own, over a file that the test may change."""

    _thread: threading.Thread
    _loop: asyncio.AbstractEventLoop
    _stop: asyncio.Event
    _live: Live

    def __init__(self, database: Path, deployment: Deployment = SMALL, now: int = small.NOW):
        self.database, self.deployment, self.now = database, deployment, now
        self.port = 0
        self.rpc: Rpc | None = None
        """The node behind it, if there is one."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """On the port that it had before, if it ever ran."""
        started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)))
        self._thread.start()
        started.result(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self, started: "Future[None]") -> None:
        self._loop, self._stop, self._live = asyncio.get_running_loop(), asyncio.Event(), Live()
        site = Site(
            database=reading(f"sqlite+aiosqlite:///{self.database}"),
            deployment=self.deployment,
            asset=Asset(symbol="TUSD", decimals=6),
            now=lambda: self.now,
            live=self._live,
            node=None if self.rpc is None else Node(self.rpc),
        )
        listener = listening.listener("127.0.0.1", self.port)
        self.port = listener.getsockname()[1]
        server = listening.server(make_app(site, limit=None))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        started.set_result(None)
        await self._stop.wait()
        await self._live.end()
        server.should_exit = True
        await serving
        listener.close()
        await site.database.dispose()
        if site.node is not None:
            await site.node.close()

    def forget_all(self) -> None:
        """As if the indexer had read nothing yet."""
        engine = create_engine(f"sqlite:///{self.database}")
        with engine.begin() as connection:
            connection.execute(update(schema.progress).values(version=0))
        engine.dispose()

    def read_block(self, number: int) -> None:
        """As if the indexer had read one: what it settled, and that it was read."""
        engine = create_engine(f"sqlite:///{self.database}")
        with engine.begin() as connection:
            row = {"settlements": number, "locked": number, "settled": number * 1_000_000}
            connection.execute(update(schema.hours).values(**row))
            digest = number.to_bytes(32, "big")
            connection.execute(
                update(schema.progress).values(version=schema.VERSION, block=number, hash=digest)
            )
        engine.dispose()
        head = Head(block=number, timestamp=small.NOW, chain_head=number)
        asyncio.run_coroutine_threadsafe(self._live.publish(head), self._loop).result(10)


class Visitor:
    """A browser that knows nothing yet, and what it complained of."""

    def __init__(self, browser: Browser, url: str, *, also: str = ""):
        """`also`: what else may be asked."""
        self._also = also
        self.problems: list[str] = []
        self._browser = browser
        self._url = url
        self._contexts: list[BrowserContext] = []

    def open(self, path: str, **options: Any) -> Page:
        """`open("/models", color_scheme="dark", …)`: a page, with no memory of another."""
        context = self._browser.new_context(base_url=self._url, **options)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self.problems.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.problems.append(f"threw: {error}"))
        page.on("dialog", lambda dialog: self.problems.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: self._asked(request.url))
        page.goto(path)
        return page

    def _asked(self, url: str) -> None:
        if not url.startswith((self._url, "data:", self._also or self._url)):
            self.problems.append(f"asked {url}")

    def forgive(self, text: str) -> None:
        """What the test itself brought about."""
        self.problems = [problem for problem in self.problems if text not in problem]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        for context in self._contexts:
            context.close()
        assert not self.problems


@pytest.fixture
def explorer(tmp_path: Path) -> Iterator[Explorer]:
    market = small.Small()
    amounts = {"fees": 1, "settled": 550, "deposited": 3_000, "locked": 900, "staked": 5_000}
    counts = {"transactions": 7, "gas_used": 400_000, "settle_gas": 90_000, "settlements": 3}
    market.put(schema.hours, hour=small.START, opened=4, closed=2, offers=2, **amounts, **counts)
    path = tmp_path / "explorer.db"
    market.write(f"sqlite:///{path}")
    explorer = Explorer(path)
    explorer.start()
    yield explorer
    explorer.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Of one file: Playwright's event loop runs as long as it does, and other files' tests have their own."""
    path = shutil.which("chromium")
    assert path, "There is no chromium here: scripts/install browser."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[Shop]:
    """Two providers, twenty requests, all settled, and an explorer."""
    folder = tmp_path_factory.mktemp("shop")
    with LocalMarket(folder=folder, provider_count=2, popen=warm.popen) as market:
        shop = Shop(market)
        shop.buy(20)
        shop.url = market.start_explorer()
        yield shop


@pytest.fixture
def visitor(chromium: Browser, explorer: Explorer) -> Iterator[Visitor]:
    with Visitor(chromium, explorer.url) as visitor:
        yield visitor


class Chain(LocalChain):
    """With a market on it, and an explorer of it."""

    explorer: LocalExplorer

    def provider(self, number: int) -> Market:
        """Staked, with a receipt key, which is its wallet's."""
        key = self.keys[number]
        market = Market(self.rpc, self.deployment, Sender(self.rpc, self.deployment.chain_id, key))
        market.mint(STAKE)
        market.add_stake(STAKE)
        market.set_receipt_key(key.address)
        return market

    def payer(self, number: int) -> Market:
        """With an account that holds as much."""
        market = Market(
            self.rpc, self.deployment, Sender(self.rpc, self.deployment.chain_id, self.keys[number])
        )
        market.mint(STAKE)
        market.deposit(STAKE)
        return market


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    with Chain(state=tmp_path / "chain.json", port=free_ports(1)[0]) as chain:
        chain.deployment = deploy(chain.rpc, chain.keys[0])
        chain.deployment.save(tmp_path / "deployment.json")
        chain.explorer = LocalExplorer(
            folder=tmp_path, rpc=chain.url, deployment=tmp_path / "deployment.json"
        )
        with chain.explorer.start():
            chain.explorer.wait_for(chain.deployment.block)  # Before that there is no page, but a reason.
            yield chain


@pytest.fixture
def guest(chromium: Browser, chain: Chain) -> Iterator[Visitor]:
    with Visitor(chromium, chain.explorer.url) as guest:
        yield guest
