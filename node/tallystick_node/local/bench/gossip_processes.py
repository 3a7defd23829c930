"""Nodes that do nothing but gossip, each in a process of its own and over HTTP: how soon a change is known to
all and a dead one out, and what it takes of wire and CPU."""

import asyncio
import contextlib
import gc
import json
import multiprocessing
import os
import random
import resource
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tallystick.ports import PostedOffer
from tallystick.protocol.eip712 import Domain, keccak
from tallystick.protocol.errors import MarketError
from tallystick.protocol.signed import Key
from tallystick.protocol.status import Status
from tallystick.protocol.units import Address
from tallystick.protocol.wire import GOSSIP_PATH, NETWORK_PATH
from tallystick_node import listening
from tallystick_node.gateway.errors import error_json, status_of
from tallystick_node.gateway.network import NetworkRoutes
from tallystick_node.local.bench.samples import offer_at
from tallystick_node.network.gossip import Gossiper, Self
from tallystick_node.network.posting import Post
from tallystick_node.sim.gossip import status

_DOMAIN: Final = Domain(chain_id=31337, contract=Address(b"\x22" * 20))
CHANGING: Final = 0.1
"""Of all nodes, those whose load changes in a second."""
_CHANGED: Final = 1_000_000
"""What the first node has to do once it changed: nobody has so much otherwise."""
_WARM_S: Final = 8.0
_CHANGE_S: Final = 6.0
_OUT_S: Final = 12.0
_LOOK_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What became of one change and one death among so many processes."""

    nodes: int
    acquainted: int
    """That knew all others before it began."""
    known_s: list[float]
    """When each knew of the change, since it was made; sorted."""
    out_s: list[float]
    """When the dead one was out to each, since it was killed."""
    bytes_s: float
    """Sent by one node in a second."""
    cpu_s: float
    """Of one node in a second."""


def measured(nodes: int, *, warm_s: float = _WARM_S) -> Seen:
    """Takes about half a minute."""
    keys = [Key(keccak(number.to_bytes(8, "big"))) for number in range(nodes)]
    listeners = [listening.listener("127.0.0.1", 0) for _ in keys]
    offers = [
        offer_at(key, f"http://{listening.written(listener)}")
        for key, listener in zip(keys, listeners, strict=True)
    ]
    gc.collect()
    gc.freeze()  # What children share stays shared.
    begin = time.monotonic() + 1 + nodes / 8
    times = begin + warm_s, begin + warm_s + _CHANGE_S
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory(prefix="tallystick-gossip-") as folder:
        children = [
            context.Process(
                target=_child, args=(number, keys, listeners, offers, begin, times, Path(folder)), daemon=True
            )
            for number in range(nodes)
        ]
        with _ended(children):
            for child in children:
                child.start()
            for listener in listeners:
                listener.close()
            time.sleep(max(0.0, times[1] - time.monotonic()))
            killed_at = time.monotonic()
            dead = children[1].pid
            assert dead is not None
            os.kill(dead, signal.SIGKILL)
            for number, child in enumerate(children):
                if number != 1:
                    child.join(_OUT_S + 20)
        reports = [json.loads(file.read_text()) for file in Path(folder).glob("*.json")]
    return _summed(nodes, reports, times[0], killed_at)


@contextlib.contextmanager
def _ended(children: list[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for child in children:
            if child.is_alive():
                child.kill()
        for child in children:
            child.join()


def _summed(nodes: int, reports: list[dict[str, Any]], changed_at: float, killed_at: float) -> Seen:
    changed_at = next((report["changed"] for report in reports if report["changed"]), changed_at)
    return Seen(
        nodes=nodes,
        acquainted=sum(report["known"] == nodes for report in reports),
        known_s=sorted(report["heard"] - changed_at for report in reports if report["heard"]),
        out_s=sorted(report["out"] - killed_at for report in reports if report["out"]),
        bytes_s=sum(report["bytes_s"] for report in reports) / len(reports),
        cpu_s=sum(report["cpu_s"] for report in reports) / len(reports),
    )


# ----------------------------------------------------------------------------------------------- in a process


class Node:
    """What one process does: its load changes all the time, and it notes what it sees."""

    def __init__(self, number: int, keys: list[Key], offers: list[PostedOffer]):
        self.number = number
        self.keys = keys
        self.running = 0
        self.changed: float | None = None
        self.heard: float | None = None
        self.out: float | None = None
        self.known = 0
        self.post = Post()
        me = Self(
            provider=keys[number].address,
            key=keys[number],
            domain=_DOMAIN,
            local=True,
            offers=lambda: offers,
            statuses=lambda: [self._status(offers[number])],
            is_payer=lambda _: False,
            channels=lambda _: [],
            is_receipt_key=lambda provider, key: provider == key,
        )
        self.gossiper = Gossiper(me, self.post)

    def _status(self, posted: PostedOffer) -> Status:
        if self.running < _CHANGED:
            if random.random() < CHANGING:
                self.running = random.randrange(100)
        elif self.changed is None:
            self.changed = time.monotonic()
        mine = status(1, running=self.running)
        return replace(mine, provider=posted.offer.provider, offer_hash=posted.offer_hash)

    def app(self) -> Starlette:
        routes = NetworkRoutes(self.gossiper)

        async def gossip(request: Request) -> Response:
            try:
                return await routes.gossip(request)
            except MarketError as error:
                return Response(orjson.dumps(error_json(error)), status_code=status_of(error))

        return Starlette(
            routes=[Route(GOSSIP_PATH, gossip, methods=["POST"]), Route(NETWORK_PATH, routes.network)]
        )

    def look(self, killed: bool) -> None:
        talk, now = self.gossiper.talk, time.monotonic()
        for heard in talk.hearsay.statuses(self.keys[0].address):
            message = heard.said.proof.message
            if self.heard is None and isinstance(message, Status) and message.running >= _CHANGED:
                self.heard = now
        if killed and self.out is None and talk.is_suspected(self.keys[1].address, int(now * 1_000)):
            self.out = now


def _child(
    number: int,
    keys: list[Key],
    listeners: list[socket.socket],
    offers: list[PostedOffer],
    begin: float,
    times: tuple[float, float],
    folder: Path,
) -> None:
    for other, listener in enumerate(listeners):
        if other != number:
            listener.close()
    asyncio.run(_live(number, keys, listeners[number], offers, begin, times, folder))


async def _live(
    number: int,
    keys: list[Key],
    listener: socket.socket,
    offers: list[PostedOffer],
    begin: float,
    times: tuple[float, float],
    folder: Path,
) -> None:
    node = Node(number, keys, offers)
    server = listening.server(node.app())
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.sleep(max(0.0, begin - time.monotonic()))
    gossiping = asyncio.create_task(node.gossiper.run())
    cpu, sent, since = _cpu_s(), node.gossiper.sent, time.monotonic()
    until = times[1] + _OUT_S
    while (now := time.monotonic()) < until:
        if number == 0 and now >= times[0]:
            node.running = _CHANGED
        if now < times[0]:
            node.known = node.gossiper.talk.hearsay.known
        node.look(now >= times[1])
        await asyncio.sleep(_LOOK_S)
    took = time.monotonic() - since
    report = {
        "changed": node.changed,
        "heard": node.heard,
        "out": node.out,
        "known": node.known,
        "bytes_s": (node.gossiper.sent - sent) / took,
        "cpu_s": (_cpu_s() - cpu) / took,
    }
    (folder / f"{number}.json").write_text(json.dumps(report))
    gossiping.cancel()
    server.should_exit = True
    with contextlib.suppress(asyncio.CancelledError):
        await gossiping
    await serving
    await node.post.close()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
