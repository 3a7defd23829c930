"""Three grades of a model and one that babbles duel over the real protocol, before real judges.

Five providers sell one model by name. Two of them serve it, one serves a stage of less training, one a stage
of much less, and one says words at random. Payers buy from them in pairs; nodes that sell judgements are
drawn, asked and paid, and the contract decides. What is shown of it is read from the contract's events.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Final

import httpx2

from tallystick.chain.duels import Duels
from tallystick.chain.verdicts import decided, rulings
from tallystick.client.client import Client
from tallystick.client.duel import Duel
from tallystick.client.pairs import Pair
from tallystick.protocol.case import texts_of
from tallystick.protocol.errors import MarketError
from tallystick.protocol.strength import Decided
from tallystick.protocol.units import Address, Atoms, Hash32, to_hex
from tallystick_node.local.audit import Check, PayersHalf, audit
from tallystick_node.local.engines import MODEL, EngineKind
from tallystick_node.local.market import LocalMarket, LocalProvider, Make
from tallystick_node.local.quality.blocks import let_money_move, mining
from tallystick_node.local.quality.challenger import Challenger, Costs, open_challenger, summed
from tallystick_node.local.quality.contest import Bout
from tallystick_node.local.quality.explored import PATIENCE_S, Explored, explored
from tallystick_node.local.quality.questions import Question, drawn

MODELS: Final = MODEL.parent
GRADES: Final[Mapping[str, tuple[str, ...]]] = {
    "good": ("good-1", "good-2"),
    "mid": ("mid",),
    "bad": ("bad",),
    "random": ("random",),
}
"""Who is of which, the best first."""
FEW_GRADES: Final = {"good": ("good-1", "good-2"), "bad": ("bad",), "random": ("random",)}
WORST: Final = "random"
JUDGES: Final = ("good", "good", "good", "good", "good", "mid", "bad")
"""By which model each judges: those of the worse ones are less able."""
FEW_JUDGES: Final = ("good", "good", "good", "bad")
PANELS: Final = (3, 5)
"""Judges of a duel: of every other challenger's."""
SHARE: Final = Atoms(15_000)
"""Of the fee, for each judge: two of three pay for the whole prize."""
_CHALLENGERS: Final = 4
STAKE: Final = Atoms(120_000_000)
"""Of everybody: who has the least that the market takes, and loses a duel, sells nothing any more."""
_PRICE: Final = 500_000_000
"""So dear that each duel lost costs the most that the contract takes, a 4,000th of the stake, or nearly."""
_CREDIT: Final = Atoms(5_000_000)
_MAX_TOKENS: Final = 24
_LOOK_S: Final = 1.0
_DUEL_S: Final = 120.0
_ENGINE: Final = "tallystick_node.local.quality.engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Both answers of one duel, as its challenger holds them."""

    duel: Hash32
    question: Question
    answers: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """What the duels came to."""

    names: Mapping[Address, str]
    """Of who duelled, and of the judges."""
    judges: frozenset[Address]
    bouts: Mapping[Hash32, Bout]
    """In the order of their decisions."""
    judged: Sequence[Judged]
    ended: Sequence[Decided]
    """Whose money has moved."""
    stakes: Mapping[Address, Atoms]
    """Afterwards; each began with `STAKE`."""
    costs: Sequence[Costs]
    """By size of panel."""
    money: Sequence[Check]
    explored: Explored
    grades: Mapping[str, tuple[str, ...]]
    asked: int
    seconds: float

    def address(self, name: str) -> Address:
        return next(address for address, known in self.names.items() if known == name)

    def of_grade(self, grade: str) -> frozenset[Address]:
        return frozenset(map(self.address, self.grades[grade]))

    @property
    def duellists(self) -> frozenset[Address]:
        return frozenset(self.names) - self.judges


@dataclass(slots=True, kw_only=True)
class Contest:
    """One market in which so many duels are fought."""

    folder: Path
    count: int
    seed: int
    vllm: bool = False
    """The grades of the model are served by real vLLM."""
    grades: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: GRADES)
    judges: Sequence[str] = JUDGES
    panels: Sequence[int] = PANELS
    tell: Callable[[str], None] = lambda _: None
    on_bouts: Callable[[Mapping[Address, str], Sequence[Bout]], None] = lambda _, __: None
    """Hears all that is decided so far, each time that it is more."""
    stay: Callable[[str], None] = lambda _: None
    """Is told where an explorer shows all of it, before everything ends."""

    def run(self) -> Graded:
        began = time.monotonic()
        made = LocalMarket(
            folder=self.folder,
            engine=EngineKind.EMBEDDED,
            makes=self._makes(),
            credit=_CREDIT,
            tell=self.tell,
        )
        with made as market:
            judges = [provider for provider in market.providers if provider.name.startswith("judge")]
            for judge in judges:
                Duels(market.market_of(judge.key)).enlist()
            with mining(market), ExitStack() as stack:
                challengers = [self._challenger(market, number, stack) for number in range(_CHALLENGERS)]
                self.tell(f"{self.count} duels begin, by {_CHALLENGERS} challengers")
                self._fight(market, challengers)
                let_money_move(market)
                return self._graded(market, judges, challengers, began)

    # ------------------------------------------------------------------------------------------- who is there

    def _makes(self) -> list[Make]:
        makes = [self._duellist(name, grade) for grade, names in self.grades.items() for name in names]
        return makes + [_judge(number, model) for number, model in enumerate(self.judges)]

    def _duellist(self, name: str, grade: str) -> Make:
        babbles = grade == WORST
        return Make(
            name=name,
            stake=STAKE,
            input_price=_PRICE,
            output_price=_PRICE,
            engine=EngineKind.VLLM if self.vllm and not babbles else None,
            engine_module=_ENGINE if babbles else "",
            engine_options=("--manner", "babbles") if babbles else (),
            model=MODEL if babbles else MODELS / grade,
        )

    def _challenger(self, market: LocalMarket, number: int, stack: ExitStack) -> Challenger:
        seats = self.panels[number % len(self.panels)]
        wanted = Duel(share=1, budget=10**15, judges=seats, fee=Atoms(seats * SHARE))
        challenger = open_challenger(market, f"challenger-{number}", wanted)
        stack.callback(challenger.session.close)
        return challenger

    # ------------------------------------------------------------------------------------------------- duels

    def _schedule(self) -> list[tuple[str, str, Question]]:
        """Every pair before any again, in an order that the seed decides; each is first as often."""
        random = Random(self.seed)
        names = [name for grade in self.grades.values() for name in grade]
        found: list[tuple[str, str]] = []
        while len(found) < self.count:
            pairs = list(combinations(names, 2))
            random.shuffle(pairs)
            turned = len(found) // len(pairs) % 2
            found += [(other, one) if turned else (one, other) for one, other in pairs]
        questions = drawn(self.count, self.seed)
        return [(*pair, question) for pair, question in zip(found, questions, strict=False)]

    def _fight(self, market: LocalMarket, challengers: Sequence[Challenger]) -> None:
        """Returns once every request was made and every duel is decided, or left to the chain."""
        schedule, over = self._schedule(), threading.Event()
        with ThreadPoolExecutor(len(challengers)) as pool:
            fighting = [
                pool.submit(self._challenge, market, challenger, schedule[number :: len(challengers)], over)
                for number, challenger in enumerate(challengers)
            ]
            try:
                self._watch(market, fighting)
            finally:
                over.set()
            for one in fighting:
                one.result()

    def _challenge(
        self,
        market: LocalMarket,
        challenger: Challenger,
        schedule: Sequence[tuple[str, str, Question]],
        over: threading.Event,
    ) -> None:
        addresses = {provider.name: to_hex(provider.address) for provider in market.providers}
        client = Client.of(challenger.session)
        for first, second, question in schedule:
            if over.is_set():
                return
            wishes = {"only": [addresses[first], addresses[second]], "order": [addresses[first]]}
            try:
                client.chat(
                    market.engine.model_name,
                    question.text,
                    max_tokens=_MAX_TOKENS,
                    temperature=1,
                    provider=wishes,
                )
            except MarketError as error:
                self.tell(f"a request to {first} failed: {error}")
            challenger.wait(_DUEL_S)

    def _watch(self, market: LocalMarket, fighting: Sequence[Future[None]]) -> None:
        """Tells of what is decided, until nobody fights any more."""
        duels, seen = Duels(market.market_of(market.payer)), 0
        names = _names(market.providers)
        while True:
            ended = all(one.done() for one in fighting)
            bouts = [Bout.of(ruling) for ruling in rulings(duels)]
            if len(bouts) > seen:
                if len(bouts) * 10 // self.count > seen * 10 // self.count:
                    self.tell(f"{len(bouts)} of {self.count} duels are decided")
                seen = len(bouts)
                self.on_bouts(names, bouts)
            if ended:
                return
            time.sleep(_LOOK_S)

    # ------------------------------------------------------------------------------------------ what it was

    def _graded(
        self,
        market: LocalMarket,
        judges: Sequence[LocalProvider],
        challengers: Sequence[Challenger],
        began: float,
    ) -> Graded:
        reading = market.market_of(market.payer)
        duels, sitting = Duels(reading), frozenset(judge.address for judge in judges)
        costs = [challenger.costs(sitting) for challenger in challengers]
        sizes = sorted({one.seats for one in costs})
        purses = [challenger.session.purse for challenger in challengers]
        judged = [one for purse in purses for one in _judged(purse.pairs.held("over"), self._questions)]
        half = PayersHalf.joined([PayersHalf(purse.held_receipts(), purse.asked()) for purse in purses])
        for challenger in challengers:
            challenger.session.close()
        self.tell("the nodes drain and settle")
        market.stop_gateways()
        bouts = {ruling.duel: Bout.of(ruling) for ruling in rulings(duels)}
        self.tell("an explorer reads the chain, and is asked for each duel")
        explorer = market.start_explorer()
        with httpx2.Client(base_url=explorer, timeout=PATIENCE_S, trust_env=False) as visitor:
            told = explored(visitor, bouts, [one.address for one in market.providers if one not in judges])
        self.stay(explorer)
        return Graded(
            names=_names(market.providers),
            judges=sitting,
            bouts=bouts,
            explored=told,
            judged=judged,
            ended=decided(duels),
            stakes={one.address: reading.stake(one.address).staked for one in market.providers},
            costs=[summed([one for one in costs if one.seats == seats]) for seats in sizes],
            money=audit(reading, half),
            grades=self.grades,
            asked=self.count,
            seconds=time.monotonic() - began,
        )

    @property
    def _questions(self) -> Mapping[str, Question]:
        return {question.text: question for question in drawn(self.count, self.seed)}


def _judge(number: int, model: str) -> Make:
    return Make(
        name=f"judge-{number}-{model}",
        stake=STAKE,
        engine_module=_ENGINE,
        engine_options=("--manner", "scores"),
        model=MODELS / model,
        settings="\n[quality]\njudge = true\n",
    )


def _names(providers: Sequence[LocalProvider]) -> Mapping[Address, str]:
    return {provider.address: provider.name for provider in providers}


def _judged(pairs: Sequence[Pair], questions: Mapping[str, Question]) -> Iterator[Judged]:
    for pair in pairs:
        question, answers = texts_of(pair.case)
        yield Judged(duel=pair.duel, question=questions[question], answers=answers)
