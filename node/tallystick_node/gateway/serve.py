"""Puts a node together, runs it, and ends it in order."""

import asyncio
import contextlib
import signal
import socket
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import uvicorn

from tallystick.chain.errors import ChainError, ChainUnavailable
from tallystick.chain.local import LOCAL_CHAIN_IDS
from tallystick.crash import point
from tallystick.protocol.receipt import Finish
from tallystick.protocol.status import PARAMETERS, Status
from tallystick.protocol.units import ZERO_HASH, Atoms, Hash32, Milliseconds, to_hex
from tallystick.starting import keep_what_is_made
from tallystick_node import listening
from tallystick_node.config import Config, EngineConfig, LimitsConfig
from tallystick_node.engine.upstream import EngineGone, Upstream
from tallystick_node.gateway import tls
from tallystick_node.gateway.app import make_app
from tallystick_node.gateway.books import Books
from tallystick_node.gateway.cashier import Cashier
from tallystick_node.gateway.gateway import Gateway, Limits
from tallystick_node.gateway.grants import GrantPolicy, Grants
from tallystick_node.gateway.guard import Guard
from tallystick_node.gateway.intake import Intake, IntakePolicy
from tallystick_node.gateway.metrics import Metrics
from tallystick_node.gateway.network import NetworkRoutes
from tallystick_node.gateway.offers import post_missing
from tallystick_node.gateway.own_accord import OwnAccord
from tallystick_node.gateway.promises import Claims
from tallystick_node.gateway.relay import Relay, RelayPolicy
from tallystick_node.gateway.start import (
    Provider,
    Quality,
    StartRefused,
    check_engine,
    checked,
    is_loopback,
    open_auditing,
    open_bench,
    open_engine,
    open_errand,
    settle_policy,
    tls_key_of,
)
from tallystick_node.gateway.watch import ChainWatch, forget_answers, repeat
from tallystick_node.network.gossip import Gossiper, Self
from tallystick_node.network.posting import Post
from tallystick_node.store.migrate import DatabaseNewer
from tallystick_node.store.sqlite import DatabaseInUse, SqliteStore

_SETTLE_CHECK_S: Final = 1.0
_ENGINE_CHECK_S: Final = 5.0
_OFFER_CHECK_S: Final = 5.0
"""Nothing is asked unless one is missing, as after the chain took blocks back: until then nothing is sold."""
_FIRST_POLLS: Final = 3
"""Until the books show what the chain held as the node started."""
_UPKEEP_S: Final = 1.0
_SUMMONS_S: Final = 5.0
_PRUNE_S: Final = 300.0
_LAST_S: Final = 10.0
"""For earlier transactions to be accounted for before the last settlement."""
_ACKNOWLEDGE_S: Final = 2.0
"""What payers have, once everything has ended, to acknowledge the last receipts before the final
settlement."""

log = structlog.get_logger("tallystick.node")


class SystemClock:
    def milliseconds(self) -> Milliseconds:
        return Milliseconds(time.time_ns() // 1_000_000)


def _limits(config: LimitsConfig, minimum_stake: Atoms) -> Limits:
    return Limits(
        running=config.running,
        unsecured=Atoms(config.unsecured),
        head_age_s=config.head_age_s,
        minimum_stake=minimum_stake,
        clocks_apart_s=config.clocks_apart_s,
    )


def _relay_policy(config: LimitsConfig) -> RelayPolicy:
    return RelayPolicy(
        pause_s=config.pause_s, keep_alive_s=config.keep_alive_s, unsecured_limit=Atoms(config.unsecured)
    )


def claims_of(engine: EngineConfig) -> Claims:
    return Claims(
        speed=None if engine.speed is None else engine.speed.speed,
        parameters=sum(1 << PARAMETERS.index(name) for name in set(engine.parameters)),
        quantization=engine.quantization,
    )


class Node:
    """One gateway and what goes on beside it."""

    def __init__(
        self,
        config: Config,
        provider: Provider,
        store: SqliteStore,
        upstream: Upstream,
        quality: Quality | None = None,
    ):
        limits, clock = config.limits, SystemClock()
        self.config, self.provider = config, provider
        self.store, self.upstream = store, upstream
        self.metrics = Metrics()
        self.books = Books(
            provider=provider.address,
            key=provider.key,
            domain=provider.market.deployment.domain,
            store=store,
            clock=clock,
            on_receipt=self.metrics.receipt,
        )
        self.grants = Grants(self.books, provider.reader, GrantPolicy(Atoms(limits.minimum_cap)))
        self.gateway = Gateway(
            self.books,
            self.grants,
            _limits(limits, provider.market.minimum_stake()),
            claims_of(config.engine),
        )
        on_demand = provider.market.deployment.chain_id in LOCAL_CHAIN_IDS
        self.watch = ChainWatch(self.gateway, self.grants, provider.follower, mines_on_demand=on_demand)
        self.cashier = Cashier(
            self.gateway, self.grants, provider.market, settle_policy(config.settle), self.metrics
        )
        self._renewing = asyncio.Lock()
        self.own_accord = OwnAccord(config, provider, self.gateway, upstream, clock, self.metrics)
        self.watch.on_offers = self.own_accord.see_offers
        relay = Relay(self.books, upstream, _relay_policy(limits))
        self.post = Post()
        self.gossiper = self._gossiper(local=on_demand)
        self.bench = open_bench(config, quality, provider, store, upstream)
        auditing = open_auditing(config, quality, provider, upstream, clock)
        self.errand = open_errand(config, quality, provider, auditing, self.post, clock)
        self.app = make_app(
            self.gateway,
            relay,
            metrics=self.metrics,
            guard=Guard(clock, limits.refusals_a_minute),
            intake=Intake(IntakePolicy(body=limits.body, total=limits.bodies, seconds=limits.body_s)),
            engine_models=config.engine.models,
            network=NetworkRoutes(self.gossiper) if config.network.gossip else None,
            own=self.own_accord.open(self.gossiper.talk.hearsay if config.network.gossip else None),
            bench=self.bench,
            auditing=auditing,
            errand=self.errand,
        )

    def _gossiper(self, *, local: bool) -> Gossiper:
        market = self.provider.market
        node = Self(
            provider=self.provider.address,
            key=self.provider.key,
            domain=market.deployment.domain,
            local=local,
            offers=market.offers,
            statuses=self._statuses,
            is_payer=self.books.past.has_deposited,
            channels=market.channels,
            is_receipt_key=market.is_receipt_key,
        )
        return Gossiper(node, self.post)

    def _statuses(self) -> list[Status]:
        return self.gateway.statuses(engine_up=self.metrics.engine_up)

    async def start(self, endpoint: str, endpoint_key: Hash32) -> None:
        """Reads the chain, posts what is to be offered; raises StartRefused."""
        contexts = {offer.model: offer.context_length for offer in self.config.offers}
        self.own_accord.contexts = await check_engine(self.config, self.upstream, contexts)
        try:
            for _ in range(_FIRST_POLLS):
                await self.watch.poll()
                if await self.cashier.is_clear():
                    break
            await self.renew_offers(endpoint, endpoint_key)
            await self.watch.poll()
        except ChainError as error:
            raise StartRefused(str(error)) from error
        if self.config.offers:
            return
        holding = [offer for _, offer in self.books.holding() if offer.endpoint_key == endpoint_key]
        if not holding:
            raise StartRefused(
                f"The provider {to_hex(self.provider.address)} has posted no offer that holds and names this "
                "gateway's TLS key. Post one with `tally join`, or add [[offers]] to the configuration."
            )
        contexts = {offer.model: offer.context_length for offer in holding}
        await check_engine(self.config, self.upstream, contexts)

    async def renew_offers(self, endpoint: str, endpoint_key: Hash32) -> None:
        """Not while an earlier one may be on its way. Raises ChainError."""
        async with self._renewing:
            await self._post_missing(endpoint, endpoint_key)

    async def _post_missing(self, endpoint: str, endpoint_key: Hash32) -> None:
        if not await self.cashier.is_clear():
            log.debug("offers.wait")
            return
        market = self.provider.market
        posted = await asyncio.to_thread(
            post_missing,
            self.books,
            market,
            self.own_accord.offers,
            endpoint=endpoint,
            endpoint_key=endpoint_key,
        )
        if posted:
            self.cashier.expect((await asyncio.to_thread(market.head)).number)

    async def run(self, server: uvicorn.Server, listener: socket.socket, endpoint: str, key: Hash32) -> int:
        """Until a signal, or until something breaks; the exit status."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        steps = [
            ("grants.submit", _SETTLE_CHECK_S, self.cashier.submit_grants),
            ("vouchers.settle", _SETTLE_CHECK_S, self.cashier.settle),
            ("channels.close", _SETTLE_CHECK_S, self.cashier.close_lost),
            ("offers.renew", _OFFER_CHECK_S, lambda: self.renew_offers(endpoint, key)),
            ("judge.summons", _SUMMONS_S, self._answer_summons),
            ("audits.errand", _SUMMONS_S, self._run_errand),
            *self.own_accord.steps(lambda: self.renew_offers(endpoint, key)),
        ]
        beside = [
            asyncio.create_task(repeat("chain.poll", self.config.poll_s, self.watch.poll, backoff_s=0)),
            asyncio.create_task(self._upkeep()),
            *(asyncio.create_task(repeat(name, every_s, step)) for name, every_s, step in steps),
        ]
        if self.config.network.gossip:
            beside.append(asyncio.create_task(self.gossiper.run()))
        if self.errand is not None and self.errand.reaudits:
            beside.append(asyncio.create_task(self.errand.run(_SUMMONS_S)))
        stopping = asyncio.create_task(stop.wait())
        ended, _ = await asyncio.wait([serving, stopping, *beside], return_when=asyncio.FIRST_COMPLETED)
        point("drain.begun")
        await self._drain()
        point("drain.done")
        server.should_exit = True
        await serving
        for task in [stopping, *beside]:
            task.cancel()
        results = await asyncio.gather(stopping, *beside, return_exceptions=True)
        await settle_last(self.watch.poll, self.cashier.finish, self.config.poll_s)
        for error in (broken := [item for item in results if isinstance(item, Exception)]):
            log.error("node.broken", error=repr(error))
        return 0 if stopping in ended and not broken else 1

    async def _answer_summons(self) -> None:
        """Whatever is on its way, where time runs out: as of what strikes ask of it."""
        if self.bench is None:
            return
        try:
            clear = await self.cashier.is_clear()
        except ChainError:
            clear = False  # What hangs may be refused when it is sent once more.
        await self.bench.answer_summons(clear=clear)

    async def _run_errand(self) -> None:
        """Whatever is on its way: who strikes may wait until a settlement hangs for its price, and what is
        sent next takes its place. It is settled later."""
        if self.errand is not None:
            await asyncio.to_thread(self.errand.look)

    async def _upkeep(self) -> None:
        """What the node needs looking after by itself; ends by StoreFailed."""
        engine_at = prune_at = 0.0
        while True:
            await asyncio.sleep(_UPKEEP_S)
            await asyncio.to_thread(self.store.checkpoint)
            point("log.checkpointed")
            self.metrics.database_up = self.store.failure is None
            if self.store.failure is not None:
                raise self.store.failure
            now = time.monotonic()
            if now - engine_at >= _ENGINE_CHECK_S:
                engine_at = now
                await self._look_at_engine()
            if now - prune_at >= _PRUNE_S:
                prune_at = now
                limits = self.config.limits
                await asyncio.to_thread(forget_answers, self.books, limits.answers_kept_s, limits.answers)

    async def _look_at_engine(self) -> None:
        try:
            self.own_accord.contexts = await self.upstream.models()
            self.metrics.engine_up = True
        except EngineGone:
            self.metrics.engine_up = False

    async def _drain(self) -> None:
        """No new work; what runs may end, then is ended; payers may acknowledge."""
        gateway = self.gateway
        gateway.draining = True
        log.info("node.draining", running=len(gateway.running))
        try:  # First, because a machine that stops may not wait for the rest.
            self.store.end()
        except (OSError, sqlite3.Error) as error:
            log.warning("store.not-ended", error=repr(error))  # Tried again when it is closed.
        await self._until(
            lambda: not gateway.running and not self.own_accord.running, self.config.limits.drain_s
        )
        for running in list(gateway.running.values()):
            running.end(Finish.DRAINED)
        await self._until(lambda: not gateway.running, _ACKNOWLEDGE_S)
        await self._until(
            lambda: not any(tab.owed for tab in self.books.tabs.values() if not tab.closed), _ACKNOWLEDGE_S
        )

    @staticmethod
    async def _until(reached: Callable[[], bool], limit_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while not reached():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)  # Many things may bring it about; it happens once.


async def settle_last(
    poll: Callable[[], Awaitable[None]], finish: Callable[[], Awaitable[bool]], every_s: float
) -> None:
    """Until `finish` says that nothing is left, or for ten seconds. The chain may be gone: what is
    acknowledged is on disk, and settled after the next start."""
    deadline = time.monotonic() + _LAST_S
    while True:
        code = "in-flight"  # An earlier transaction is not accounted for.
        try:
            await poll()
            if await finish():
                return
        except ChainError as error:
            code = error.code
        if code == ChainUnavailable.code or time.monotonic() > deadline:
            log.warning("node.unsettled", code=code)
            return
        await asyncio.sleep(every_s)


def serve(config: Config, quality: Quality | None = None) -> int:
    """Runs a node until it is told to stop; the exit status. `quality`: what makes its judge and its auditor.
    Raises StartRefused."""
    import uvloop  # Not everywhere, and not needed to check a configuration.

    with checked(config) as provider:
        return uvloop.run(_serve(config, provider, quality))


async def _serve(config: Config, provider: Provider, quality: Quality | None) -> int:
    listen = config.listen
    if listen.plain_http and not is_loopback(listen.host):
        raise StartRefused(f"Plain HTTP is for loopback addresses only, and {listen.host} is none. Use TLS.")
    tls_key = None if listen.plain_http else tls_key_of(config)
    endpoint_key = ZERO_HASH if tls_key is None else tls.endpoint_key(tls_key)
    try:
        listener = listening.listener(listen.host, listen.port)
    except listening.CannotListen as error:
        raise StartRefused(str(error)) from error
    url = f"http{'' if listen.plain_http else 's'}://{listening.written(listener)}"
    upstream = open_engine(config)
    try:
        store = SqliteStore(config.database, config.durability)
    except (DatabaseNewer, DatabaseInUse, OSError) as error:
        await upstream.close()
        listener.close()
        raise StartRefused(str(error)) from error
    node: Node | None = None
    try:
        node = Node(config, provider, store, upstream, quality)
        endpoint = listen.endpoint or url
        await node.start(endpoint, endpoint_key)
        keep_what_is_made()
        context = None if tls_key is None else tls.server_context(listen.tls_key, tls_key)
        server = listening.server(node.app, context)
        print(f"serving {url} as provider {to_hex(provider.address)}", flush=True)  # noqa: T201
        return await node.run(server, listener, endpoint, endpoint_key)
    finally:
        if node is not None:
            await node.post.close()
            await node.own_accord.close()
        await upstream.close()
        store.close()
        listener.close()
