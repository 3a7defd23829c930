"""How long callers wait while a share of their requests duels behind their backs, and what that costs.

Engines keep the pace of a real card and have room; everything else is as it would be elsewhere: payers with
purses, gateways, judges, a chain. The arms take turns, round after round, under the very same load, so that
what else the machine does meets all of them.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from time import monotonic
from typing import Final

import httpx2

from tallystick.chain.duels import Duels
from tallystick.client.client import AsyncClient
from tallystick.client.duel import Duel
from tallystick.protocol.errors import MarketError
from tallystick.protocol.judging import ORDERS, prompt
from tallystick.protocol.units import MTOK, Atoms, to_hex
from tallystick_node.local.engines import EngineKind
from tallystick_node.local.market import LocalMarket, Make
from tallystick_node.local.network.fleet import CARDS
from tallystick_node.local.network.score import quantile
from tallystick_node.local.quality.blocks import let_money_move, mining
from tallystick_node.local.quality.challenger import Challenger, Costs, open_challenger, summed
from tallystick_node.local.quality.grading import STAKE

SHARES: Final = (0.0, 0.05, 0.1, 0.25)
"""Of requests that duel, by arm; the first is what the others are held against."""
CARD: Final = "L40S"
SEATS: Final = 3
PAYERS: Final = 3
"""Of each arm."""
PROMPT: Final = 64
ANSWER: Final = 100
"""Tokens."""
_INPUT, _OUTPUT = 2, 6
"""Atoms a token."""
_CREDIT: Final = Atoms(1_000_000)
_DRAIN_S: Final = 60.0
_WORDS: Final = ("river", "stone", "maple", "cloud", "ember", "field", "harbor", "lantern")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Of one caller, in seconds."""

    first_s: float
    total_s: float


def p95_s(rounds: Sequence[Sequence[Wait]], of: Callable[[Wait], float] = lambda wait: wait.total_s) -> float:
    """Median over the rounds; zero where there are none."""
    return median([quantile(sorted(map(of, waits)), 0.95) for waits in rounds] or [0.0])


@dataclass(slots=True, kw_only=True)
class Arm:
    share: float
    challengers: Sequence[Challenger]
    rounds: list[Sequence[Wait]] = field(default_factory=list)
    failed: int = 0


def judgement() -> Atoms:
    """What a judge charges for reading both answers in both orders, by its prices: a word is a token here."""
    question, answer = " ".join(_WORDS[:1] * PROMPT), " ".join(_WORDS[:1] * ANSWER)
    tokens = len(prompt(question, answer, answer).split())
    return Atoms(ORDERS * (tokens * _INPUT + _OUTPUT))


def fee() -> Atoms:
    """Five times what the judgements cost, as docs/quality.md advises."""
    return Atoms(SEATS * 5 * judgement())


def judge_share() -> float:
    """What one judge costs over what a request costs, by the prices alone: nothing of it is measured."""
    return (judgement() + fee() / SEATS) / (PROMPT * _INPUT + ANSWER * _OUTPUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """What the arms came to."""

    rate: float
    seconds: float
    """Of load, in each round of each arm."""
    sellers: int
    judges: int
    rounds: Mapping[float, Sequence[Sequence[Wait]]]
    """By share."""
    failed: Mapping[float, int]
    costs: Mapping[float, Costs]

    def p95_s(self, share: float, of: Callable[[Wait], float] = lambda wait: wait.total_s) -> float:
        """Median over the rounds."""
        return p95_s(self.rounds[share], of)

    def change(self, share: float, of: Callable[[Wait], float] = lambda wait: wait.total_s) -> float:
        """Of the 95th percentile, against the first arm."""
        return self.p95_s(share, of) / self.p95_s(SHARES[0], of) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One market under so many rounds of load."""

    folder: Path
    seed: int
    rate: float = 2.0
    """Requests a second."""
    seconds: float = 16.0
    rounds: int = 4
    shares: Sequence[float] = SHARES
    sellers: int = 4
    judges: int = 5
    tell: Callable[[str], None] = lambda _: None
    on_round: Callable[[Mapping[float, Sequence[Sequence[Wait]]]], None] = lambda _: None
    """Hears how long callers waited so far, by share, each time that an arm had its turn."""

    def run(self) -> Waited:
        with LocalMarket(
            folder=self.folder, engine=EngineKind.ECHO, makes=self._makes(), credit=_CREDIT, tell=self.tell
        ) as market:
            judges = market.providers[self.sellers :]
            for provider in judges:
                Duels(market.market_of(provider.key)).enlist()
            with mining(market), ExitStack() as stack:
                arms = [self._arm(market, share, stack) for share in self.shares]
                asyncio.run(self._load(market, arms))
                let_money_move(market)
                sitting = frozenset(provider.address for provider in judges)
                costs = {arm.share: summed([one.costs(sitting) for one in arm.challengers]) for arm in arms}
                return Waited(
                    rate=self.rate,
                    seconds=self.seconds,
                    sellers=self.sellers,
                    judges=self.judges,
                    rounds={arm.share: arm.rounds for arm in arms},
                    failed={arm.share: arm.failed for arm in arms},
                    costs=costs,
                )

    def _makes(self) -> list[Make]:
        self.folder.mkdir(parents=True, exist_ok=True)
        speed, path = CARDS[CARD].to_json(), self.folder / "speed.json"
        path.write_text(json.dumps(speed))
        told = "\n".join(("\n[engine.speed]", *(f"{name} = {value}" for name, value in speed.items())))

        def make(name: str, more: str = "") -> Make:
            return Make(
                name=name,
                stake=STAKE,
                input_price=_INPUT * MTOK,
                output_price=_OUTPUT * MTOK,
                engine_options=("--speed", str(path)),
                settings=told + more,
            )

        sellers = [make(f"seller-{number}") for number in range(self.sellers)]
        return sellers + [
            make(f"judge-{number}", "\n[quality]\njudge = true\n") for number in range(self.judges)
        ]

    def _arm(self, market: LocalMarket, share: float, stack: ExitStack) -> Arm:
        wanted = Duel(share=share, budget=10**12, judges=SEATS, fee=fee())
        challengers = []
        for number in range(PAYERS):
            challenger = open_challenger(market, f"payer-{100 * share:.0f}-{number}", wanted)
            stack.callback(challenger.session.close)
            challengers.append(challenger)
        return Arm(share=share, challengers=challengers)

    async def _load(self, market: LocalMarket, arms: Sequence[Arm]) -> None:
        """All rounds; one more before them, short and not counted, opens channels and finds out who is
        there."""
        sellers = [to_hex(provider.address) for provider in market.providers[: self.sellers]]
        for arm in arms:
            await self._round(market, arm, sellers, Random(self.seed), self.seconds / 4)
            arm.rounds.clear()
            arm.failed = 0
        for number in range(self.rounds):
            self.tell(f"round {number + 1} of {self.rounds}")
            order = [*arms[number % len(arms) :], *arms[: number % len(arms)]]
            for arm in order:
                await self._round(market, arm, sellers, Random(self.seed + number + 1), self.seconds)
                self.on_round({arm.share: arm.rounds for arm in arms})
        for arm in arms:
            for challenger in arm.challengers:
                await challenger.session.pools.aclose()

    async def _round(
        self, market: LocalMarket, arm: Arm, sellers: Sequence[str], random: Random, seconds: float
    ) -> None:
        """Requests that come by chance, whoever still waits; then all duels end, before anybody else's
        turn."""
        waits: list[Wait] = []
        clients = [AsyncClient.of(challenger.session) for challenger in arm.challengers]
        async with asyncio.TaskGroup() as tasks:
            asked, at_s, began = 0, random.expovariate(self.rate), monotonic()
            while at_s < seconds:
                client = clients[random.randrange(len(clients))]
                words = " ".join(random.choices(_WORDS, k=PROMPT))
                request = _ask(client, market.engine.model_name, words, sellers, began + at_s, waits)
                tasks.create_task(request)
                asked, at_s = asked + 1, at_s + random.expovariate(self.rate)
        arm.rounds.append(waits)
        arm.failed += asked - len(waits)
        for challenger in arm.challengers:
            await asyncio.to_thread(challenger.wait, _DRAIN_S)


async def _ask(
    client: AsyncClient, model: str, words: str, sellers: Sequence[str], at: float, waits: list[Wait]
) -> None:
    await asyncio.sleep(max(0.0, at - monotonic()))
    began, first = monotonic(), 0.0
    with suppress(MarketError, httpx2.TransportError):
        stream = await client.stream_chat(model, words, max_tokens=ANSWER, provider={"only": list(sellers)})
        async for _ in stream.texts():
            first = first or monotonic() - began
        waits.append(Wait(first_s=first, total_s=monotonic() - began))
