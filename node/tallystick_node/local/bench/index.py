"""What the explorer's index takes: `scripts/bench index`.

Events a second from a made node in a process of its own and from anvil, and how long a restart takes. Beside
what the clock says stands the CPU time of the index alone, which a busy machine leaves as it is. Exits with 1
where a target is missed.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tallystick.chain.deployment import Deployment
from tallystick.chain.local import MINIMUM_STAKE, LocalChain, deploy
from tallystick.chain.market import Market, Opening
from tallystick.chain.rpc import Rpc
from tallystick.chain.sender import Sender
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.units import ZERO_HASH, Atoms, to_hex
from tallystick.protocol.voucher import Acknowledgement, Voucher
from tallystick_node.explorer import schema
from tallystick_node.explorer.database import writing
from tallystick_node.explorer.index.indexer import Indexer
from tallystick_node.explorer.index.made_block import DEPLOYMENT
from tallystick_node.explorer.index.writer import Writer
from tallystick_node.explorer.live import Head
from tallystick_node.local.bench.page import as_text
from tallystick_node.local.bench.row import Row
from tallystick_node.local.postgres import NoPostgres, running
from tallystick_node.local.progress import tell

_SECTION: Final = "the explorer's index"
_EVENTS_A_SECOND: Final = 2_000
_CHANNELS: Final = 100
"""Of anvil's market, all settled at once."""


@dataclass(frozen=True, slots=True)
class _Taken:
    events: int
    wall_s: float
    cpu_s: float
    """Of this process alone."""

    def rows(self, name: str) -> list[Row]:
        return [
            _row(name, self.events / self.wall_s, "events/s", _EVENTS_A_SECOND, at_least=True),
            _row("  in the index's own CPU time", self.events / self.cpu_s, "events/s"),
        ]


def main() -> int:
    options = _parse()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    rows = _measured(options.settlements, options.rounds)
    print(as_text(rows))  # noqa: T201
    if options.json:
        options.json.write_text(json.dumps([row.to_json() for row in rows], indent=1) + "\n", "utf-8")
    return int(any(row.missed for row in rows))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench index",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there too")
    parser.add_argument("--settlements", type=int, default=20_000, help="of the made market (default: 20000)")
    parser.add_argument("--rounds", type=int, default=30, help="settlements on anvil, of 100 rows each")
    return parser.parse_args()


def _row(name: str, value: float, unit: str, target: float | None = None, *, at_least: bool = False) -> Row:
    return Row(section=_SECTION, name=name, value=value, unit=unit, target=target, at_least=at_least)


def _measured(settlements: int, rounds: int) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="tallystick-index-") as name, _made_node(settlements) as rpc:
        file = f"sqlite+aiosqlite:///{name}/made.db"
        tell(f"{settlements:,} settlements of a made node, into SQLite")
        rows += asyncio.run(_index(rpc, DEPLOYMENT, file)).rows("from a made node, into SQLite")
        tell("a restart")
        again = asyncio.run(_index(rpc, DEPLOYMENT, file))
        rows.append(_row("a restart, until it has read on", again.wall_s * 1000, "ms", 1_000))
        try:
            tell("the same, into PostgreSQL")
            with running() as address:
                taken = asyncio.run(_index(rpc, DEPLOYMENT, f"postgresql+asyncpg://{address}"))
                rows += taken.rows("from a made node, into PostgreSQL")
        except NoPostgres as error:
            tell(str(error))
        tell(f"{rounds} settlements on anvil")
        with LocalChain() as chain:
            deployment = _trade(chain, rounds)
            file = f"sqlite+aiosqlite:///{name}/anvil.db"
            tell("these, into SQLite")
            rows += asyncio.run(_index(chain.rpc, deployment, file)).rows("from anvil, into SQLite")
    return rows


@contextmanager
def _made_node(settlements: int) -> Iterator[Rpc]:
    """In a process of its own: what it takes to answer is not the index's."""
    command = [sys.executable, "-m", "tallystick_node.local.made_node", str(settlements)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        rpc = Rpc(server.stdout.readline().strip())
        try:
            yield rpc
        finally:
            rpc.close()
            server.terminate()


async def _index(rpc: Rpc, deployment: Deployment, url: str) -> _Taken:
    """All there is, from where the database stands."""

    async def nobody(_: Head) -> None:
        pass

    engine = writing(url)
    begun, before = time.perf_counter(), time.process_time()
    indexer = Indexer(rpc, deployment, Writer(engine, deployment), nobody)
    while await indexer.step():
        pass
    wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - before
    events = await _count(engine, schema.events)
    await engine.dispose()
    return _Taken(events, wall_s, cpu_s)


async def _count(engine: AsyncEngine, table: object) -> int:
    async with engine.connect() as db:
        return int((await db.execute(select(func.count()).select_from(table))).scalar_one())  # type: ignore[arg-type]


def _trade(chain: LocalChain, rounds: int) -> Deployment:
    """One payer with a hundred channels to one provider, which settles all of them each time."""
    deployment = deploy(chain.rpc, chain.keys[0])
    payer, provider, session = (Key.generate() for _ in range(3))
    markets = []
    for key, atoms in ((payer, 10**12), (provider, MINIMUM_STAKE)):
        chain.rpc.call("anvil_setBalance", to_hex(key.address), hex(10**20))
        market = Market(chain.rpc, deployment, Sender(chain.rpc, deployment.chain_id, key))
        market.mint(Atoms(atoms))
        markets.append(market)
    buying, selling = markets
    selling.add_stake(MINIMUM_STAKE)
    buying.deposit(Atoms(10**12))
    sessions = [session, *(Key.generate() for _ in range(_CHANNELS - 1))]
    openings = [
        Opening(provider=provider.address, session_key=key.address, cap=Atoms(10**9)) for key in sessions
    ]
    buying.open_own_channels(openings)
    for number in range(1, rounds + 1):
        acknowledgement = Acknowledgement(receipt_count=number, receipts_root=ZERO_HASH)
        vouchers = []
        for key in sessions:
            channel = ChannelKey(payer=payer.address, provider=provider.address, session_key=key.address)
            voucher = Voucher(
                channel_id=channel.id,
                cumulative_amount=Atoms(1_000 * number),
                acknowledgement=acknowledgement,
            )
            vouchers.append((channel, sign(voucher, deployment.domain, key).signed))
        selling.settle(vouchers)
    return deployment


if __name__ == "__main__":
    sys.exit(main())
