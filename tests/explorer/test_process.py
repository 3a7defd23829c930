"""`tally-node explorer` as a process on a real chain: it starts, shows what was traded, ends or is killed,
and goes on."""

import asyncio
import random
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from tallystick.chain.deployment import Deployment
from tallystick_node.explorer import schema
from tallystick_node.local.process import Process, answers
from tests.warm import Warm

from .halves import Held
from .indexing import Tables, index
from .trading import Traded

READY_S = 60.0
ROUNDS = 4
FEW = 40
"""Blocks, of hundreds: who was killed behind so many was killed in between, in every other round."""
Start = Callable[..., tuple[Process, str]]
Begin = Callable[[str, Deployment], Process]


@pytest.fixture
def begin(tmp_path: Path, warm: Warm) -> Iterator[Begin]:
    """`begin(rpc, deployment)`: the process, which may not do anything yet."""
    started: list[Process] = []

    def begin(rpc: str, deployment: Deployment) -> Process:
        deployment.save(tmp_path / "deployment.json")
        command = [sys.executable, "-m", "tallystick_node.cli", "explorer", "--rpc", rpc, "--port", "0"]
        log = tmp_path / f"explorer-{len(started)}.log"
        process = Process("explorer", [*command, "--home", tmp_path], log=log, popen=warm.popen)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.stop()


@pytest.fixture
def start(begin: Begin) -> Start:
    """`start(rpc, deployment)`: the process and its address, once it answers."""

    def ready(rpc: str, deployment: Deployment) -> tuple[Process, str]:
        process = begin(rpc, deployment)
        process.wait_ready(lambda: "explorer http" in process.log.read_text(), timeout_s=READY_S)
        found = re.search(r"explorer (http://\S+)", process.log.read_text())
        assert found is not None
        process.wait_ready(answers(found[1] + "/"), timeout_s=READY_S)
        return process, found[1]

    return ready


def head_of(url: str) -> int:
    with httpx2.stream("GET", url + "/live", timeout=READY_S) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:"):
                return int(re.findall(r'"block":\s*(\d+)', line)[0])
    raise AssertionError("it ended")


def await_block(url: str, number: int) -> None:
    deadline = time.monotonic() + READY_S
    while head_of(url) < number:
        assert time.monotonic() < deadline, f"block {number} was not read"


def test_it_indexes_serves_ends_and_goes_on(traded: Traded, start: Start) -> None:
    market = traded.provider.market
    process, url = start(traded.chain.url, traded.deployment)
    await_block(url, market.head().number)
    process.terminate()
    assert process.wait(READY_S) == 0

    traded.chain.rpc.call("evm_mine")
    newest = market.head().number
    _, url = start(traded.chain.url, traded.deployment)
    await_block(url, newest)
    traded.chain.rpc.call("evm_mine")
    await_block(url, newest + 1)  # Live.


def test_killed_at_any_moment_it_ends_with_what_reading_anew_makes(
    held: Held, begin: Begin, start: Start, staked_provider: Callable[[], object], tmp_path: Path
) -> None:
    """By SIGKILL, while it reads blocks that are taken back before it comes again."""
    rpc, database, rng = held.chain.rpc, tmp_path / "explorer.db", random.Random()
    halfway = 0
    for number in range(ROUNDS):
        for _ in range(4):
            rpc.call("anvil_mine", hex(60))
        held.work(held.settled, 1)
        held.settle(held.settled, nonce=number)
        before = rpc.call("evm_snapshot")
        staked_provider()
        depth = rng.choice((8, 60, 90))
        rpc.call("anvil_mine", hex(depth))
        top, read = held.provider.market.head().number, read_to(database)
        process = begin(held.chain.url, held.deployment)
        moment = rng.randint(read, top if number % 2 else read + FEW)
        deadline = time.monotonic() + READY_S
        while read_to(database) < moment:
            assert time.monotonic() < deadline, process.log.read_text()
            time.sleep(0.0005)  # For the process that is waited for.
        time.sleep(rng.uniform(0, 0.02))
        process.kill()
        halfway += 0 < read_to(database) < top
        if number % 2:
            rpc.call("evm_revert", before)
            rpc.call("anvil_mine", hex(depth + 20))
    assert halfway, "It was killed before or after its work each time."

    newest = held.provider.market.head().number
    process, url = start(held.chain.url, held.deployment)
    await_block(url, newest)
    process.terminate()
    assert process.wait(READY_S) == 0
    anew = tmp_path / "fresh.db"
    while read_to(anew) != read_to(database):  # The chain goes on, and each tells of its newest blocks.
        for path in (anew, database):
            asyncio.run(index(held, f"sqlite+aiosqlite:///{path}"))
    ours, fresh = Tables(database), Tables(anew)
    for table in schema.CHAIN_TABLES:
        assert ours.rows(table) == fresh.rows(table), table.name
    assert len(fresh.rows(schema.settlements)) == 3 + ROUNDS


def read_to(database: Path) -> int:
    """The last block that is written; zero: none."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT block FROM progress").fetchone()[0])
    except (sqlite3.OperationalError, TypeError):
        return 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--deployment", "/nowhere"], "cannot be read"),
        (["--database", "mysql://somewhere/x"], "A database is named by"),
        (["--rpc", "http://127.0.0.1:9"], "does not answer"),
        (["--proxy", "192.0.2.7/8"], "A proxy is an address or a network"),
    ],
)
def test_it_says_why_it_does_not_start(
    traded: Traded, tmp_path: Path, options: list[str], sentence: str
) -> None:
    traded.deployment.save(tmp_path / "deployment.json")
    command = [sys.executable, "-m", "tallystick_node.cli", "explorer", "--rpc", traded.chain.url]
    ran = subprocess.run(
        [*command, "--home", tmp_path, *options], capture_output=True, text=True, timeout=READY_S, check=False
    )
    assert ran.returncode == 1
    assert sentence in ran.stderr
