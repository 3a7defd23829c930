"""How long the explorer's pages take, over a database that somebody filled: each kind of page, for keys drawn
at random and for the worst there are (the busiest parties, the oldest rows).

The server is a process of its own; one visitor asks one page after another. What the server's threads ran for
is told beside the time that passed: on a machine that others use it says more.
"""

import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx2
import uvloop

from tallystick.chain.market import Asset
from tallystick.starting import keep_what_is_made
from tallystick_node import listening
from tallystick_node.explorer.app import make_app
from tallystick_node.explorer.database import reading
from tallystick_node.explorer.index.made_block import DEPLOYMENT
from tallystick_node.explorer.site import Site
from tallystick_node.local.bench.cpu import cpu_seconds
from tallystick_node.local.bench.row import Row

SECTION: Final = "The explorer's pages"
_TARGET_MS: Final = 100.0
_EACH: Final = 40
"""Requests for each kind of page."""
_SEED: Final = 7


def measure_pages(database: Path, each: int = _EACH) -> list[Row]:
    """One row a kind of page: the 95th percentile, in milliseconds."""
    paths = Paths(database, random.Random(_SEED), each)
    with (
        _served(database) as (base, pid),
        httpx2.Client(base_url=base, trust_env=False, timeout=60) as client,
    ):
        return [_row(name, client, pid, asked) for name, asked in paths.kinds().items()]


def _row(name: str, client: httpx2.Client, pid: int, paths: Sequence[str]) -> Row:
    _ask(client, pid, paths[0])  # Its template is compiled.
    taken = [_ask(client, pid, path) for path in paths]
    passed, ran = sorted(wall for wall, _ in taken), sorted(cpu for _, cpu in taken)
    note = (
        f"p50 {_at(passed, 50):.1f} ms of {len(taken)}; CPU p50 {_at(ran, 50):.1f}, p95 {_at(ran, 95):.1f} ms"
    )
    return Row(
        section=SECTION, name=f"p95 of {name}", value=_at(passed, 95), unit="ms", target=_TARGET_MS, note=note
    )


def _at(ordered: Sequence[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _ask(client: httpx2.Client, pid: int, path: str) -> tuple[float, float]:
    """Milliseconds that passed, and that the server's threads ran for."""
    ran, begun = cpu_seconds(pid), time.perf_counter()
    answer = client.get(path)
    passed = time.perf_counter() - begun
    assert answer.status_code in (200, 303), (path, answer.status_code)
    return passed * 1_000, (cpu_seconds(pid) - ran) * 1_000


class Paths:
    """What is asked for, of each kind of page."""

    def __init__(self, database: Path, rng: random.Random, each: int):
        self._db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        self._rng = rng
        self._each = each
        self._last = self._one("SELECT block FROM progress")

    def kinds(self) -> dict[str, Sequence[str]]:
        """By the page's address."""
        keys = {
            "/block": self._hexed("blocks", "hash"),
            "/tx": self._hexed("transactions", "hash"),
            "/account": self._hexed("accounts", "address", "channels"),
            "/provider": self._hexed("providers", "address", "settlements"),
            "/channel": self._hexed("channels", "channel_id", "settlements"),
            "/offer": self._hexed("offers", "offer_hash"),
            "/duel": self._hexed("duels", "root"),
            "/accusation": self._hexed("accusations", "accusation"),
        }
        found: dict[str, Sequence[str]] = {
            "/": [f"/?days={days}" for days in (1, 7, 30, 365)] * max(1, self._each // 4)
        }
        for name in (
            "blocks",
            "transactions",
            "settlements",
            "offers?every=true",
            "channels",
            "hours",
            "events",
            "duels",
            "strikes",
            "accusations",
        ):
            found[f"/{name}"] = self._pages(f"/{name}")
        for name in ("accounts", "providers", "models", "offers", "disputes", "judges"):
            found[f"/{name}"] = [f"/{name}"] * self._each
        for page, values in keys.items():
            found[f"{page}/…"] = [f"{page}/{value}" for value in values]
        found["/settlements?provider=…"] = [f"/settlements?provider={value}" for value in keys["/provider"]]
        found["/events?provider=…"] = [f"/events?provider={value}" for value in keys["/provider"]]
        found["/settlements?payer=…"] = [f"/settlements?payer={value}" for value in keys["/account"]]
        found["/settlement/…"] = [f"/settlement/{block}/{index}" for block, index in self._settlements()]
        models = [row[0] for row in self._db.execute("SELECT DISTINCT model FROM offers")]
        found["/model/…"] = [f"/model/{quote(self._rng.choice(models), safe='')}" for _ in range(self._each)]
        words = [
            *keys["/tx"][:8],
            *keys["/channel"][:8],
            *keys["/account"][:8],
            *models[:4],
            "example",
            "zzz",
            "77",
        ]
        found["/search?q=…"] = [f"/search?q={quote(word)}" for word in words]
        found["/search/suggestions?q=…"] = [f"/search/suggestions?q={quote(word[:9])}" for word in words]
        found["/api/series?days=365"] = ["/api/series?days=365"] * self._each
        return found

    def _one(self, statement: str) -> int:
        value: int = self._db.execute(statement).fetchone()[0]
        return value

    def _hexed(self, table: str, column: str, busiest: str | None = None) -> list[str]:
        """Of rows drawn at random, and of those with the most of something."""
        last = self._one(f"SELECT max(rowid) FROM {table}")
        drawn = [self._rng.randint(1, last) for _ in range(self._each)]
        marks = ",".join("?" * len(drawn))
        rows = self._db.execute(f"SELECT {column} FROM {table} WHERE rowid IN ({marks})", drawn).fetchall()
        if busiest:
            rows += self._db.execute(
                f"SELECT {column} FROM {table} ORDER BY {busiest} DESC LIMIT 8"
            ).fetchall()
        return [f"0x{row[0].hex()}" for row in rows]

    def _settlements(self) -> list[tuple[int, int]]:
        statement = "SELECT block, log_index FROM settlements WHERE block >= ? LIMIT 1"
        drawn = [self._rng.randint(1, self._last - 1) for _ in range(self._each)]
        return [row for block in drawn if (row := self._db.execute(statement, (block,)).fetchone())]

    def _pages(self, path: str) -> list[str]:
        """The first page of a list and others down to its end."""
        sign = "&" if "?" in path else "?"
        return [path, *(f"{path}{sign}before={self._key(path)}" for _ in range(self._each - 1))]

    def _key(self, path: str) -> str:
        block = self._rng.randint(1, self._last)
        if path == "/blocks":
            return str(block)
        if path == "/hours":
            return str(self._one(f"SELECT timestamp FROM blocks WHERE number = {block}"))
        return f"{block}-0x{'80' * 32}" if path == "/channels" else f"{block}-1"


@contextmanager
def _served(database: Path) -> Iterator[tuple[str, int]]:
    """Its address and its process."""
    command = [sys.executable, "-m", __name__, str(database)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.terminate()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


async def _serve(database: Path) -> None:
    now = sqlite3.connect(database).execute("SELECT timestamp FROM progress").fetchone()[0]
    site = Site(
        database=reading(f"sqlite+aiosqlite:///{database}"),
        deployment=DEPLOYMENT,
        asset=Asset(symbol="TUSD", decimals=6),
        now=lambda: now,
    )
    listener = listening.listener("127.0.0.1", 0)
    print(f"http://{listening.written(listener)}", flush=True)  # noqa: T201
    server = listening.server(make_app(site, limit=None))
    keep_what_is_made()
    await server.serve(sockets=[listener])


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1])))
