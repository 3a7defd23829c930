"""Whatever the chain does and wherever the program stops, the index is what reading the chain anew makes of
it, table by table. In both databases."""

import asyncio
import contextlib
import pickle
from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tallystick.chain.audit_events import AUDIT_EVENTS
from tallystick.chain.duel_events import DUEL_EVENTS
from tallystick.chain.errors import ChainError
from tallystick_node.explorer import schema
from tallystick_node.explorer.database import writing
from tallystick_node.explorer.index.indexer import Indexer
from tallystick_node.explorer.index.made_audits import AuditedMarket
from tallystick_node.explorer.index.made_block import DEPLOYMENT
from tallystick_node.explorer.index.made_duels import DuellingMarket
from tallystick_node.explorer.index.writer import Writer
from tallystick_node.explorer.live import Head
from tallystick_node.local.made_node import MadeNode
from tests.chain.fake_node import Balanced

PROVIDERS = 5
AUDITED = 8
"""Providers where strikes come to accusations too."""


class Killed(BaseException):
    """What a program does not hear of when it ends."""


class Chain:
    """Blocks, and the market as each left it."""

    def __init__(self, seed: int, audited: bool = False):
        self.maker = (
            AuditedMarket(seed, providers=AUDITED) if audited else DuellingMarket(seed, providers=PROVIDERS)
        )
        self.node = MadeNode()
        self._left = [pickle.dumps(self.maker)]
        self.longest = 0
        self._seed = seed
        for block in self.maker.opening():
            self._add(block)
        self._opening = len(self.node.blocks)
        for _ in range(20):
            self.mine()

    def _add(self, block: Any) -> None:
        self.node.blocks.append(block)
        self._left.append(pickle.dumps(self.maker))
        self.longest = max(self.longest, len(self.node.blocks))

    def mine(self, trading: bool = True) -> None:
        self._add(self.maker.traded() if trading else self.maker.mined())

    def take_back(self, depth: int) -> None:
        keep = max(self._opening, len(self.node.blocks) - depth)
        del self.node.blocks[keep:], self._left[keep:]
        self._seed += 1
        self.maker = pickle.loads(self._left[-1])
        self.maker.part_ways(self._seed)

    def machines(self, count: int) -> list[MadeNode]:
        """More of them, each with the very same blocks."""
        found = [MadeNode() for _ in range(count)]
        for machine in found:
            machine.blocks = self.node.blocks
        return found


class Index:
    """An indexer and its database, stopped and started."""

    def __init__(self, rpc: Any, url: str):
        self._rpc, self._url = rpc, url
        self.start()

    def start(self) -> None:
        self.engine: AsyncEngine = writing(self._url)
        self.indexer = Indexer(self._rpc, DEPLOYMENT, Writer(self.engine, DEPLOYMENT), self._heard)
        self.heads: list[Head] = []
        self._told = asyncio.Event()

    async def _heard(self, head: Head) -> None:
        self.heads.append(head)
        self._told.set()

    async def until(self, heard: Callable[[Head], bool]) -> None:
        """The newest head is such a one."""
        async with asyncio.timeout(60):
            while not self.heads or not heard(self.heads[-1]):
                self._told.clear()
                await self._told.wait()

    async def stop(self) -> None:
        await self.engine.dispose()

    async def clear(self) -> None:
        async with self.engine.begin() as db:
            await db.run_sync(schema.METADATA.drop_all)

    async def catch_up(self) -> None:
        while await self.indexer.step():
            pass

    async def step_killed(self, statements: int) -> bool:
        """Ends at that statement of the next step; whether there were so many."""
        left = statements

        def one_more(*_: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed

        event.listen(self.engine.sync_engine, "before_cursor_execute", one_more)
        with contextlib.suppress(Killed, ChainError):
            await self.indexer.step()
        await self.stop()
        self.start()
        return left <= 0

    async def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        async with self.engine.connect() as db:
            return {
                table.name: [
                    tuple(row) for row in await db.execute(select(table).order_by(*table.primary_key))
                ]
                for table in schema.CHAIN_TABLES
            }


async def require_same(index: Index, chain: Chain, fresh_url: str) -> None:
    """`index`, which has caught up, and one that reads the chain anew."""
    fresh = Index(chain.node, fresh_url)
    await fresh.clear()
    await fresh.catch_up()
    ours, theirs = await index.tables(), await fresh.tables()
    await fresh.stop()
    assert ours.keys() == theirs.keys()
    for name, rows in theirs.items():
        assert ours[name] == rows, name
    progress = ours["progress"][0]
    assert progress[4] == chain.node.blocks[-1].number
    for held, owed, duels_held, duels_owed, audits_held, audits_owed in (row[-6:] for row in ours["blocks"]):
        assert held == owed, "held is not owed"
        assert duels_held == duels_owed, "the duels do not hold what they owe"
        assert audits_held == audits_owed, "the audits do not hold what they owe"


@pytest.mark.parametrize("depth", [1, 2, 15, 63, 64, 70])
async def test_blocks_that_were_taken_back_leave_nothing(depth: int, tmp_path: Path) -> None:
    chain = Chain(7, audited=True)
    for _ in range(70):
        chain.mine()
    index = Index(chain.node, f"sqlite+aiosqlite:///{tmp_path}/index.db")
    await index.catch_up()
    chain.take_back(depth)
    for _ in range(depth + 1):
        chain.mine()
    await index.catch_up()
    await require_same(index, chain, f"sqlite+aiosqlite:///{tmp_path}/fresh.db")
    await index.stop()


async def test_every_event_of_duels_and_audits_happens_in_these_chains() -> None:
    chain = Chain(9, audited=True)
    for _ in range(400):
        chain.mine()
    seen = {type(event) for block in chain.node.blocks for event in block.events}
    assert seen >= {*DUEL_EVENTS.values(), *AUDIT_EVENTS.values()}


async def test_it_goes_on_where_it_was_killed_whatever_the_statement(tmp_path: Path) -> None:
    """The step that takes blocks back and writes others ends at each of its statements in turn."""
    chain = Chain(8, audited=True)
    index = Index(chain.node, f"sqlite+aiosqlite:///{tmp_path}/index.db")
    await index.catch_up()
    chain.take_back(9)
    for _ in range(12):
        chain.mine()
    for statement in count(1):
        if not await index.step_killed(statement):
            break
    assert statement > 30
    await index.catch_up()
    await require_same(index, chain, f"sqlite+aiosqlite:///{tmp_path}/fresh.db")
    await index.stop()


class Indexing(RuleBasedStateMachine):
    url: str | None = None
    """Of a database that is emptied for each example; None: a file of its own."""

    @initialize(seed=st.integers(0, 10_000), balanced=st.integers(0, 999))
    def begin(self, seed: int, balanced: int) -> None:
        self.runner = asyncio.Runner()
        self.folder = TemporaryDirectory()
        self.chain = Chain(100_000 * seed)
        self.machines = [self.chain.node, *self.chain.machines(2)]
        url = self.url or self.new_file("index")
        self.index = Index(Balanced(self.machines, Random(balanced)), url)  # type: ignore[arg-type]
        self.runner.run(self.index.clear())

    def new_file(self, name: str) -> str:
        return f"sqlite+aiosqlite:///{Path(self.folder.name) / name}.db"

    @rule(trading=st.lists(st.sampled_from([True, True, True, False]), min_size=1, max_size=12))
    def mine(self, trading: list[bool]) -> None:
        for some in trading:
            self.chain.mine(some)

    @rule(count=st.integers(60, 80))
    def mine_many(self, count: int) -> None:
        """More than are kept."""
        for number in range(count):
            self.chain.mine(number % 4 == 0)

    @rule(depth=st.integers(1, 12), trading=st.lists(st.booleans(), max_size=14), read=st.booleans())
    def take_back(self, depth: int, trading: list[bool], read: bool) -> None:
        """`read`: what is taken back was."""
        if read:
            self.step(3)
        self.chain.take_back(depth)
        self.mine(trading)

    @rule(depth=st.integers(55, 75), count=st.integers(0, 60))
    def take_back_many(self, depth: int, count: int) -> None:
        """About as many as can be undone, and more."""
        self.mine_many(70)
        self.step(3)
        self.chain.take_back(depth)
        for number in range(count):
            self.chain.mine(number % 5 == 0)

    @rule(which=st.integers(0, 2), lag=st.integers(0, 4))
    def lag(self, which: int, lag: int) -> None:
        self.machines[which].lag = lag

    @rule(which=st.integers(0, 2), gone=st.booleans())
    def leave(self, which: int, gone: bool) -> None:
        self.machines[which].gone = gone

    @rule(times=st.integers(1, 12))
    def step(self, times: int) -> None:
        for _ in range(times):
            with contextlib.suppress(ChainError):
                self.runner.run(self.index.indexer.step())

    @rule(statements=st.integers(1, 40))
    def kill(self, statements: int) -> None:
        self.runner.run(self.index.step_killed(statements))

    @rule()
    def restart(self) -> None:
        self.runner.run(self.index.stop())
        self.index.start()

    @rule()
    def compare(self) -> None:
        """With what reading anew makes of a chain that is longer than it ever was: how far back empty blocks
        are kept depends on that."""
        for machine in self.machines:
            machine.lag, machine.gone = 0, False
        for _ in range(self.chain.longest + 1 - len(self.chain.node.blocks)):
            self.chain.mine(False)
        self.runner.run(self._compare())

    async def _compare(self) -> None:
        await self.index.catch_up()
        await require_same(self.index, self.chain, self.new_file(f"fresh-{len(self.chain.node.blocks)}"))

    def teardown(self) -> None:
        if hasattr(self, "index"):
            self.compare()
            self.runner.run(self.index.stop())
            self.runner.close()
            self.folder.cleanup()


@pytest.mark.parametrize(("database", "examples"), [("sqlite", 5), ("postgresql", 3)])
def test_the_index_is_what_reading_anew_makes(
    database: str, examples: int, request: pytest.FixtureRequest
) -> None:
    class Somewhere(Indexing):
        url = f"postgresql+asyncpg://{request.getfixturevalue('postgres')}" if database != "sqlite" else None

    if settings.get_current_profile_name() == "long":
        examples *= 20
    steady = settings(max_examples=examples, stateful_step_count=20, deadline=None)
    run_state_machine_as_test(Somewhere, settings=steady)
