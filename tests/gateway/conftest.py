"""A gateway under test: the real app behind a real HTTP server, an engine that obeys, a chain in memory."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from tallystick.pinning import pinned_context
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.offer import Offer
from tallystick.protocol.signed import Key
from tallystick.protocol.units import (
    ZERO_HASH,
    Address,
    Atoms,
    AtomsPerMTok,
    Hash32,
    Milliseconds,
    Timestamp,
    Tokens,
)
from tallystick_node.engine.upstream import Upstream
from tallystick_node.gateway import tls
from tallystick_node.gateway.app import make_app
from tallystick_node.gateway.auditing import Auditing, Errand
from tallystick_node.gateway.bench import Bench
from tallystick_node.gateway.books import Books
from tallystick_node.gateway.cashier import Cashier
from tallystick_node.gateway.gateway import Gateway, Limits
from tallystick_node.gateway.grants import GrantPolicy, Grants
from tallystick_node.gateway.guard import Guard
from tallystick_node.gateway.intake import Intake, IntakePolicy
from tallystick_node.gateway.metrics import Metrics
from tallystick_node.gateway.network import NetworkRoutes
from tallystick_node.gateway.own_users import OwnRoutes
from tallystick_node.gateway.promises import Claims
from tallystick_node.gateway.relay import Relay, RelayPolicy
from tallystick_node.gateway.settling import SettlePolicy
from tallystick_node.gateway.watch import ChainWatch
from tallystick_node.network.gossip import Gossiper, Self
from tallystick_node.network.posting import Post
from tallystick_node.store.records import Store
from tallystick_node.store.sqlite import SqliteStore
from tests.gateway.fake_chain import FakeChain
from tests.gateway.payer import Payer
from tests.gateway.stub_engine import MODEL, StubEngine

DOMAIN = Domain(chain_id=31337, contract=Address(bytes(range(20))))
MTOK = 1_000_000


class HandClock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def milliseconds(self) -> Milliseconds:
        return Milliseconds(self.now)

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * 1000)


class World:
    """One gateway and everything around it. Prices: 1 atom an input token, 10 an output token."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.clock = HandClock()
        self.engine = StubEngine()
        self.chain = FakeChain(self.clock)
        self.key = Key.generate()
        self.credit = 100_000
        self.prices = (1 * MTOK, MTOK // 2, 10 * MTOK)
        self.limits = Limits(running=500, unsecured=Atoms(2_000), head_age_s=120)
        self.claims = Claims()
        self.relay_policy = RelayPolicy(pause_s=5, keep_alive_s=0.05, unsecured_limit=Atoms(2_000))
        self.refusals_a_minute = 0
        self.body_limit = 1 << 20
        self.bodies_limit = 1 << 24
        self.body_s = 5.0
        self.engine_models: dict[str, str] = {}
        self.model = MODEL
        self.minimum_cap = Atoms(0)
        self.settle_policy = SettlePolicy(amount=Atoms(10**9), interval_s=900, minimum=Atoms(1))
        self.store: Store | None = None
        self.tls = False
        self.own: Callable[[World], OwnRoutes] | None = None
        """What makes the routes of the node's own users."""
        self.bench: Callable[[World], Bench] | None = None
        """What makes its judge."""
        self.auditing: Callable[[World], Auditing] | None = None
        """What makes its auditor."""
        self.errand: Callable[[World], Errand] | None = None
        """What makes what it looks after on chain."""

    async def start(self) -> None:
        self.store = SqliteStore(self.folder / "node.db")
        self.metrics = Metrics()
        self.books = Books(
            provider=self.key.address,
            key=self.key,
            domain=DOMAIN,
            store=self.store,
            clock=self.clock,
            on_receipt=self.metrics.receipt,
        )
        self.grants = Grants(self.books, self.chain, GrantPolicy(self.minimum_cap))
        self.gateway = Gateway(self.books, self.grants, self.limits, self.claims)
        self.watch = ChainWatch(self.gateway, self.grants, self.chain)
        self.cashier = Cashier(self.gateway, self.grants, self.chain, self.settle_policy, self.metrics)
        self.upstream = Upstream(self.engine.url)
        self.relay = Relay(self.books, self.upstream, self.relay_policy)
        self.guard = Guard(self.clock, self.refusals_a_minute)
        node = Self(
            provider=self.key.address,
            key=self.key,
            domain=DOMAIN,
            local=True,
            offers=lambda: [],
            statuses=lambda: [],
            is_payer=lambda _: False,
            channels=lambda _: [],
            is_receipt_key=lambda provider, key: provider == key,
        )
        self.post = Post()
        app = make_app(
            self.gateway,
            self.relay,
            metrics=self.metrics,
            guard=self.guard,
            intake=Intake(IntakePolicy(body=self.body_limit, total=self.bodies_limit, seconds=self.body_s)),
            engine_models=self.engine_models,
            network=NetworkRoutes(Gossiper(node, self.post)),
            own=None if self.own is None else self.own(self),
            bench=None if self.bench is None else self.bench(self),
            auditing=None if self.auditing is None else self.auditing(self),
            errand=None if self.errand is None else self.errand(self),
        )
        config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            log_config=None,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
            ssl_context_factory=self._server_context if self.tls else None,
        )
        self.server = _Server(config)
        self.serving = asyncio.create_task(self.server.serve())
        await until(lambda: self.server.started)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.http = httpx2.AsyncClient(
            base_url=f"http{'s' if self.tls else ''}://127.0.0.1:{port}",
            verify=pinned_context(self.endpoint_key) if self.tls else True,
            timeout=60,
            limits=httpx2.Limits(max_connections=None),
            trust_env=False,
        )
        if not self.chain.sequence:
            self.post_offer()
        await self.watch.poll()
        if self.books.past.birth is None:
            self.clock.advance(self.limits.clocks_apart_s)
            await self.watch.poll()

    def _server_context(self, *_: object) -> ssl.SSLContext:
        """As `serve` has it: a key made here, under a certificate that it signs itself."""
        path = self.folder / "tls.pem"
        return tls.server_context(path, tls.load_or_make_key(path))

    @property
    def endpoint_key(self) -> Hash32:
        return tls.endpoint_key(tls.load_or_make_key(self.folder / "tls.pem")) if self.tls else ZERO_HASH

    async def stop(self) -> None:
        await self.http.aclose()
        for running in list(self.gateway.running.values()):
            self.gateway.running.pop((running.tab.id, running.nonce), None)
        self.server.should_exit = True
        await self.serving
        await self.upstream.close()
        await self.post.close()
        assert self.store is not None
        self.store.close()

    async def crash(self) -> None:
        """Starts again from what a killed process leaves: nothing is saved once it is dead."""
        store = self.store
        assert isinstance(store, SqliteStore)
        store.failure = RuntimeError("dead")
        old_http, old_server, old_serving = self.http, self.server, self.serving
        old_upstream, old_post = self.upstream, self.post
        store._background.close()
        store._db.close()
        store._starts.close()
        self.chain.read_again()
        await self.start()
        old_server.should_exit = old_server.force_exit = True
        await old_http.aclose()
        await old_upstream.close()
        await old_post.close()
        await old_serving

    async def restart(self, change: Callable[[], None] = lambda: None) -> None:
        """As after a clean stop: nothing but the database, the chain and the engine stays."""
        await self.stop()
        self.chain.read_again()
        change()
        await self.start()

    def post_offer(self, **changes: Any) -> Offer:
        """On the fake chain; `watch.poll()` brings it into the books."""
        from tallystick.protocol.signed import sign

        input_price, cached, output = self.prices
        offer = Offer(
            provider=self.key.address,
            sequence=self.chain.sequence + 1,
            endpoint="http://127.0.0.1",
            endpoint_key=self.endpoint_key,
            model=self.model,
            model_hash=ZERO_HASH,
            input_price=AtomsPerMTok(input_price),
            cached_input_price=AtomsPerMTok(cached),
            output_price=AtomsPerMTok(output),
            context_length=Tokens(4096),
            credit=Atoms(self.credit),
            valid_until=Timestamp(self.clock.now // 1000 + 86_400),
        )
        self.offer = replace(offer, **changes)
        self.chain.post_offer(sign(self.offer, DOMAIN, self.key).signed)
        return self.offer

    async def payer(self, cap: int = 10**9) -> Payer:
        """One with an open channel."""
        payer = self.stranger()
        self.chain.open(payer.channel, cap)
        await self.watch.poll()
        return payer

    def stranger(self) -> Payer:
        """One that the chain does not know."""
        return Payer(self.http, DOMAIN, self.offer, self.key.address)

    def held(self) -> dict[str, Any]:
        """What a refused request must not have changed."""
        return {
            tab.id: (tab.issued, tab.acknowledged, tab.voucher, tab.reserved, tab.grant, tab.refusing)
            for tab in self.books.tabs.values()
        } | {"running": len(self.gateway.running), "started": self.engine.started}


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def until(reached: Callable[[], bool], limit_s: float = 60) -> None:
    async with asyncio.timeout(limit_s):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


Make = Callable[..., Awaitable[World]]


@pytest.fixture
async def make_world(tmp_path: Path) -> AsyncIterator[Make]:
    """A world with some of its attributes set before it starts."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(**changes: Any) -> World:
            world = World(tmp_path)
            for name, value in changes.items():
                assert hasattr(world, name)
                setattr(world, name, value)
            await stack.enter_async_context(world.engine)
            await world.start()
            stack.push_async_callback(world.stop)
            return world

        yield make


@pytest.fixture
async def world(make_world: Make) -> World:
    return await make_world()
