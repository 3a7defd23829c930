"""Eight nodes of unequal speed, each with users of its own: what every comparison runs on.

Engines are echo engines that keep the pace of a real card: the step times of Qwen3-8B on it, in bf16.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp

from tallystick.chain.local import MINIMUM_STAKE
from tallystick.protocol.speed import Speed
from tallystick.protocol.units import Address, Atoms, Tokens, to_hex
from tallystick.protocol.wire import NETWORK_PATH
from tallystick_node.local.audit import PayersHalf
from tallystick_node.local.engines import EngineKind
from tallystick_node.local.market import LocalMarket, LocalProvider, Make
from tallystick_node.local.network.links import Links
from tallystick_node.local.network.users import Home
from tallystick_node.local.process import free_ports

DEPOSIT: Final = Atoms(500_000_000)
"""Of each node's own account, to buy from others with."""
_CREDIT: Final = Atoms(1_000_000)
_TIMES: Final = ("fixed", "sequence", "weights", "token", "context")
"""What a speed has in picoseconds."""
_UNDER_WAY: Final = ("tallystick_running_requests ", "tallystick_own_running ")
"""As metrics have it."""


def _card(weights_ms: float, token_ms: float, context_ms: float, capacity: int, chunk: int) -> Speed:
    ps = 1e9
    return Speed(
        fixed=int(1.0 * ps),
        sequence=int(0.055 * ps),
        weights=int(weights_ms * ps),
        token=int(token_ms * ps),
        context=int(context_ms * ps),
        capacity=Tokens(capacity),
        chunk=Tokens(chunk),
    )


CARDS: Final[Mapping[str, Speed]] = {
    "A100": _card(10.037, 0.06854, 0.00012053, 403_011, 2048),
    "L40S": _card(23.687, 0.059074, 0.00028444, 193_304, 2048),
    "A6000": _card(26.648, 0.137965, 0.00032, 193_304, 2048),
    "RTX4090": _card(20.303, 0.129604, 0.00024381, 36_023, 2048),
    "RTX3090": _card(21.865, 0.301192, 0.00026256, 36_023, 2048),
    "L4": _card(68.219, 0.176732, 0.0008192, 36_023, 2048),
    "A10G": _card(34.11, 0.305495, 0.0004096, 36_023, 2048),
}
"""Qwen3-8B, bf16: derived from the cards' published bandwidth and arithmetic by the formula of
`protocol/speed.py`, within a few percent of published vLLM tables."""
VLLM: Final = "vLLM"
"""In a card's place: the real server, with a tiny model on this machine's processor. How fast that is the
node finds out."""
FLEET: Final = ("A100", "L40S", "A6000", "RTX4090", "RTX4090", "RTX3090", "L4", "A10G")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of a fleet, before it is started."""

    card: str
    policy: str
    """TOML of its `[policy]`."""
    rule: str = "quoted"
    """By which it chooses whom to buy from."""
    stake: Atoms = MINIMUM_STAKE
    output_price: int = 6_000_000
    program: tuple[str, ...] = ()
    """Module of this folder that runs it, and what that is told, where it is not run as any node is."""
    later: bool = False
    """Joins while the others serve."""
    slower: int = 1
    """Its steps take so many times as long as the card's."""

    @property
    def speed(self) -> Speed | None:
        """None: it is to be found out."""
        card = CARDS.get(self.card)
        if card is None:
            return None
        times = {name: getattr(card, name) * self.slower for name in _TIMES}
        return replace(card, **times)


@dataclass(slots=True, kw_only=True)
class Fleet:
    """`with Fleet(folder=…, nodes=…) as fleet:` has them all serving."""

    folder: Path
    nodes: Sequence[Node]
    settings: str = ""
    """More TOML for all."""
    doors: bool = False
    """Each is reached at a port of its own, for links that can be cut."""
    market: LocalMarket = field(init=False)
    halves: list[PayersHalf] = field(init=False, default_factory=list)
    """What payers that are no nodes came to hold."""
    user_key: str = field(init=False, default_factory=lambda: secrets.token_urlsafe(16))
    _links: Links | None = field(init=False, default=None)
    _stack: ExitStack = field(init=False, default_factory=ExitStack)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        makes = [self._make(number, node) for number, node in enumerate(self.nodes)]
        if self._links is not None:
            doors, ports = self._links.doors, self._links.ports
            makes = [
                replace(make, port=ports[number], endpoint=f"http://127.0.0.1:{doors[number]}")
                for number, make in enumerate(makes)
            ]
        self.market = LocalMarket(folder=self.folder, engine=EngineKind.ECHO, makes=makes, credit=_CREDIT)
        self._stack.enter_context(self.market)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def open_doors(self) -> None:
        """Ports of their own to reach each node at; to be entered, then, as an asynchronous context."""
        count = len(self.nodes)
        ports = free_ports(2 * count)
        self._links = Links(ports=dict(enumerate(ports[:count])), doors=dict(enumerate(ports[count:])))

    @property
    def homes(self) -> list[Home]:
        return [Home(url=provider.url, key=self.user_key) for provider in self.market.providers]

    @property
    def names(self) -> Mapping[str, str]:
        """By address: place and card."""
        return {
            to_hex(provider.address): f"{number}·{node.card}"
            for number, (provider, node) in enumerate(zip(self.market.providers, self.nodes, strict=False))
        }

    @property
    def links(self) -> Links:
        """Between nodes that have doors."""
        assert self._links is not None
        return self._links

    def know_processes(self) -> None:
        """Again after a node was started: links tell nodes by their processes."""
        if self._links is not None:
            self._links.pids = {
                provider.gateway.pid: number
                for number, provider in enumerate(self.market.providers)
                if provider.gateway is not None
            }

    def provider(self, number: int) -> LocalProvider:
        return self.market.providers[number]

    def address(self, number: int) -> Address:
        return self.provider(number).address

    def _make(self, number: int, node: Node) -> Make:
        path = self.folder / f"speed-{number}.json"
        if node.speed is not None:
            path.write_text(json.dumps(node.speed.to_json()))
        keys = self.folder / "users.txt"
        keys.write_text(f"demo {sha256(self.user_key.encode()).hexdigest()}\n")
        return Make(
            name=f"node-{number}",
            plain=True,
            stake=node.stake,
            deposit=DEPOSIT,
            input_price=node.output_price // 3,
            output_price=node.output_price,
            engine=None if node.speed is not None else EngineKind.VLLM,
            engine_options=("--speed", str(path)) if node.speed is not None else (),
            settings=_settings(node, keys) + self.settings,
            later=node.later,
            by=("-m", f"{__package__}.{node.program[0]}", *node.program[1:]) if node.program else ("-m",),
        )


@asynccontextmanager
async def running(fleet: Fleet) -> AsyncIterator[None]:
    """Starts and ends it without holding up an event loop, on which its links run."""
    async with AsyncExitStack() as stack:
        if fleet.doors:
            fleet.open_doors()
            await stack.enter_async_context(fleet.links)
        stack.push_async_callback(asyncio.to_thread, fleet.__exit__, None, None, None)
        await asyncio.to_thread(fleet.__enter__)
        fleet.know_processes()
        yield


async def complete_views(fleet: Fleet) -> int:
    """How many nodes know of every other one, suspect none, and say so within seconds."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as web:
        views = await asyncio.gather(*(_sees(web, provider) for provider in fleet.market.providers))
    return sum(len(seen) == len(fleet.nodes) for seen in views)


async def under_way(provider: LocalProvider) -> int:
    """Answers that its engine works at, to payers and to own users."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as web,
        web.get(provider.url + "/metrics") as answer,
    ):
        text = await answer.text()
    counted = [line.split() for line in text.splitlines() if line.startswith(_UNDER_WAY)]
    return sum(int(float(value)) for _, value in counted)


async def _sees(web: aiohttp.ClientSession, provider: LocalProvider) -> set[str]:
    """Addresses of the providers that this one would choose from now; none where it does not say."""
    try:
        async with web.get(provider.url + NETWORK_PATH) as answer:
            known = await answer.json()
    except TimeoutError:
        return set()
    suspected = {item["said"]["suspicion"]["provider"] for item in known["suspicions"]}
    return {item["said"]["status"]["provider"] for item in known["statuses"]} - suspected


def _settings(node: Node, keys: Path) -> str:
    values = () if node.speed is None else node.speed.to_json().items()
    speed = "\n".join(("[engine.speed]", *(f"{name} = {value}" for name, value in values)))
    return f"""
{speed if values else ""}

[users]
keys_file = "{keys}"
each = 10_000

[offload]
total = {DEPOSIT}
per_request = {DEPOSIT}
rule = "{node.rule}"

[policy]
{node.policy}
"""
