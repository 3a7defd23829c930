"""`tally-node explorer`: the index and the pages over it in one process, and an end in order."""

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Self

import structlog
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from tallystick.chain.deployment import Deployment
from tallystick.chain.errors import ChainError
from tallystick.chain.market import Market
from tallystick.chain.rpc import Rpc
from tallystick.home import Home
from tallystick.starting import keep_what_is_made
from tallystick_node import listening
from tallystick_node.explorer.app import make_app
from tallystick_node.explorer.database import free_bytes, reading, writing
from tallystick_node.explorer.index.indexer import Indexer
from tallystick_node.explorer.index.writer import IndexMisplaced, Writer
from tallystick_node.explorer.node import Node
from tallystick_node.explorer.site import Site

_DRIVERS = ("sqlite+aiosqlite", "postgresql+asyncpg")
log = structlog.get_logger("tallystick.explorer")


class ExplorerRefused(Exception):
    """One sentence on why it does not start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an explorer is told."""

    rpc: str
    deployment: Deployment
    database: str
    host: str
    port: int
    proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies that say, by X-Forwarded-For, whom they ask for."""

    @classmethod
    def of(
        cls,
        *,
        rpc: str,
        deployment: Path | None,
        database: str | None,
        host: str,
        port: int,
        home: Path | None,
        proxies: Sequence[str] = (),
    ) -> Self:
        """Raises ExplorerRefused."""
        place = Home.at(home)
        try:
            market = Deployment.load(deployment or place.deployment)
            url = make_url(database or f"sqlite+aiosqlite:///{place.folder / 'explorer.db'}")
        except (ChainError, ArgumentError) as error:
            raise ExplorerRefused(str(error)) from error
        if url.drivername not in _DRIVERS or not url.database:
            raise ExplorerRefused(
                f"A database is named by {' or '.join(f'{name}://…' for name in _DRIVERS)}, a path or a name "
                "at the end."
            )
        for proxy in proxies:
            try:
                ip_network(proxy)
            except ValueError as error:
                raise ExplorerRefused(f"A proxy is an address or a network, not {proxy!r}.") from error
        text = url.render_as_string(hide_password=False)
        return cls(rpc=rpc, deployment=market, database=text, host=host, port=port, proxies=tuple(proxies))


def serve(options: Options) -> int:
    """Until SIGTERM or SIGINT; the exit status. Raises ExplorerRefused."""
    import uvloop  # Not everywhere, and not needed to read `--help`.

    return uvloop.run(_serve(options))


async def _serve(options: Options) -> int:
    rpc, node = Rpc(options.rpc), Node(Rpc(options.rpc))
    market = Market(rpc, options.deployment)
    pages, index = reading(options.database), writing(options.database)
    try:
        await asyncio.to_thread(market.check)
        asset = await asyncio.to_thread(market.asset)
        writer = Writer(index, options.deployment)
        await writer.open()
        site = Site(
            database=pages,
            writing=index,
            free_bytes=partial(free_bytes, options.database),
            deployment=options.deployment,
            asset=asset,
            minimum_stake=await asyncio.to_thread(market.minimum_stake),
            rpc=options.rpc,
            node=node,
        )
        return await _run(options, site, Indexer(rpc, options.deployment, writer, site.live.publish))
    except (ChainError, IndexMisplaced, listening.CannotListen) as error:
        raise ExplorerRefused(str(error)) from error
    except (SQLAlchemyError, OSError) as error:
        raise ExplorerRefused(f"The database cannot be used: {str(error).splitlines()[0]}") from error
    finally:
        await pages.dispose()
        await index.dispose()
        await node.close()
        rpc.close()


async def _run(options: Options, site: Site, indexer: Indexer) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listener = listening.listener(options.host, options.port)
    server = listening.server(make_app(site, proxies=options.proxies))
    keep_what_is_made()
    print(f"explorer http://{listening.written(listener)}", flush=True)  # noqa: T201
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    indexing, stopping = asyncio.create_task(indexer.run()), asyncio.create_task(stop.wait())
    await asyncio.wait([serving, indexing, stopping], return_when=asyncio.FIRST_COMPLETED)
    await site.live.end()
    server.should_exit = True
    await serving
    for task in (indexing, stopping):
        task.cancel()
    broken = [
        error
        for error in await asyncio.gather(indexing, stopping, return_exceptions=True)
        if isinstance(error, Exception)
    ]
    for error in broken:
        log.error("explorer.broken", error=repr(error))
    listener.close()
    return 1 if broken else 0
