"""A duel that a node tells is checked step by step, and each step sees what it is there for."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tallystick.chain.duel_audit import DuelFacts, PanelFacts, check
from tallystick.chain.duel_record import DuelRecord
from tallystick.chain.duel_telling import facts_of
from tallystick.chain.errors import ChainError
from tallystick.chain.market import Market
from tallystick.protocol.duel import Vote
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.units import Atoms, to_hex
from tallystick.protocol.vote import Choice
from tallystick.wallet.duel_view import checked
from tests.chain.test_duels import SALT, World

Spoil = Callable[[DuelFacts], DuelFacts]


@dataclass(frozen=True)
class Spoilt:
    """A node of which one kind of answer is not what it was."""

    inner: Any
    method: str
    spoil: Callable[[Any], Any]
    counted: Counter[str] = field(default_factory=Counter)
    """Its questions."""

    def call(self, method: str, *params: Any) -> Any:
        self.counted[method] += 1
        answer = self.inner.call(method, *params)
        return self.spoil(answer) if method == self.method else answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture(scope="module")
def told() -> dict[str, DuelFacts]:
    """Kept for all tests of this file."""
    return {}


@pytest.fixture
def facts(told: dict[str, DuelFacts], request: pytest.FixtureRequest) -> DuelFacts:
    """Of a duel whose judges agreed."""
    if not told:
        rpc = request.getfixturevalue("local_chain").rpc
        party, staked = (request.getfixturevalue(name) for name in ("party", "staked_provider"))
        world = decided(party, staked, rpc)
        view = checked(world.duels.market, to_hex(world.id))
        assert view.data["ok"]
        found = facts_of(DuelRecord(world.duels).told(world.id))
        assert found is not None
        assert view.data["steps"] == [step.to_json() for step in check(found)]
        told["all"] = found
    return told["all"]


def decided(party: Any, staked_provider: Any, rpc: Any) -> World:
    """A duel of which the judges said the same."""
    world = World(party, staked_provider, lambda blocks: rpc.call("anvil_mine", hex(blocks)))
    votes = [world.cast(judge, Vote.FIRST) for judge in world.panel()]
    world.duels.decide(world.id, world.case, votes, salt=SALT)
    return world


def panel(**changed: Any) -> Spoil:
    def spoil(facts: DuelFacts) -> DuelFacts:
        return replace(facts, panels=[replace(facts.panels[0], **changed)])

    return spoil


def each_panel(change: Callable[[PanelFacts], PanelFacts]) -> Spoil:
    return lambda facts: replace(facts, panels=[change(facts.panels[0])])


def money(**changed: Any) -> Spoil:
    def spoil(facts: DuelFacts) -> DuelFacts:
        assert facts.money is not None
        return replace(facts, money=replace(facts.money, **changed))

    return spoil


def case(change: Callable[[Any], Any]) -> Spoil:
    return lambda facts: replace(facts, case=change(facts.case))


def other_cost(shown: Any) -> Any:
    receipt = shown.first.receipt
    dearer = replace(receipt.message, cost=receipt.message.cost + 1)
    return replace(shown, first=replace(shown.first, receipt=replace(receipt, message=dearer)))


def paid_more(facts: DuelFacts) -> DuelFacts:
    assert facts.money is not None
    first, *rest = facts.money.payments
    return money(payments=[replace(first, gained=first.gained + 1), *rest])(facts)


def swapped(panel: PanelFacts) -> PanelFacts:
    return replace(panel, judges=[*panel.judges[1:], panel.judges[0]])


def heavier(panel: PanelFacts) -> PanelFacts:
    first, *rest = panel.candidates
    return replace(panel, candidates=[replace(first, weight=Atoms(100 * first.weight)), *rest])


def another_key(panel: PanelFacts) -> PanelFacts:
    return replace(panel, keys=dict.fromkeys(panel.keys, frozenset({panel.judges[0]})))


def committed(panel: PanelFacts, choice: Choice) -> PanelFacts:
    """By its first judge on chain, to another ballot than its vote's, with what counts of that."""
    held = {**panel.committed, panel.judges[0]: keccak(b"another ballot")}
    return replace(panel, committed=held, choices=[choice, *panel.choices[1:]])


def test_who_committed_to_another_ballot_has_said_nothing(facts: DuelFacts) -> None:
    for choice, holds in ((Choice.NONE, True), (facts.panels[0].choices[0], False)):
        told = replace(facts, panels=[committed(facts.panels[0], choice), *facts.panels[1:]])
        assert {step.name: step.holds for step in check(told)}["ballots"] is holds


def test_what_a_node_tells_holds(facts: DuelFacts) -> None:
    assert [step.name for step in check(facts) if not step.holds] == []
    assert len(check(facts)) == 8


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        (lambda facts: replace(facts, challenger=facts.panels[0].judges[0]), "commitment"),
        (case(other_cost), "commitment"),
        (case(lambda shown: replace(shown, hidden=keccak(b"other"))), "hidden verdict"),
        (case(lambda shown: replace(shown, body_hash=keccak(b"other"))), "second receipt"),
        (case(lambda shown: replace(shown, first=replace(shown.first, epoch=1))), "first receipt"),
        (lambda facts: replace(facts, first_receipt=keccak(b"other")), "commitment"),
        (lambda facts: replace(facts, known=Choice.SECOND), "hidden verdict"),
        (panel(draw_hash=keccak(b"other")), "judges"),
        (panel(seed=keccak(b"other")), "judges"),
        (each_panel(heavier), "judges"),
        (each_panel(swapped), "judges"),
        (each_panel(swapped), "ballots"),
        (each_panel(another_key), "ballots"),
        (panel(choices=[Choice.FIRST, Choice.FIRST, Choice.SECOND]), "ballots"),
        (panel(verdict=Choice.SECOND), "verdict"),
        (panel(price=Atoms(1)), "verdict"),
        (panel(fee=Atoms(150_003)), "money"),
        (money(prize=Atoms(1)), "money"),
        (money(burnt=Atoms(5)), "money"),
        (money(verdict=Choice.SECOND), "money"),
        (money(loser_stake=Atoms(4_000)), "money"),
        (paid_more, "money"),
    ],
)
def test_each_step_sees_what_is_wrong(facts: DuelFacts, spoil: Spoil, wrong: str) -> None:
    assert wrong in {step.name for step in check(spoil(facts)) if step.holds is False}


NONE_OF_IT: tuple[Any, ...] = (None, True, 7, "word", {}, {"a": 1}, [None], [3], [[]], [{}], ["0x"])
"""In the place of a list of logs, of a transaction, of its receipt, or of a block."""
ASKED = ("eth_getLogs", "eth_getTransactionReceipt", "eth_getTransactionByHash", "eth_getBlockByNumber")
FIELDS = {
    "eth_getLogs": ("topics", "data", "blockNumber", "logIndex", "transactionHash"),
    "eth_getTransactionReceipt": ("logs",),
    "eth_getTransactionByHash": ("to", "input"),
}
UNREADABLE = (None, 7, {}, [None], "0xzz", "0x" + "f" * 70)


def spoilers(method: str) -> Iterator[Callable[[Any], Any]]:
    """What a node may make of its answers to one method: something else, or a field that is."""
    for nonsense in NONE_OF_IT:
        yield lambda _, nonsense=nonsense: nonsense
    for name in FIELDS.get(method, ()):
        for wrong in UNREADABLE:

            def spoil(answer: Any, name: str = name, wrong: object = wrong) -> Any:
                spoilt = [one | {name: wrong} for one in (answer if isinstance(answer, list) else [answer])]
                return spoilt if isinstance(answer, list) else spoilt[0]

            yield spoil
    if method == "eth_getLogs":
        for place in range(12):
            yield lambda logs, place=place: [*logs[:place], *logs[place + 1 :]]


def test_whatever_a_node_answers_a_check_says_what_is_wrong(
    party: Any, staked_provider: Any, local_chain: Any
) -> None:
    """Or that the node cannot be relied on; and it asks for no more than there is."""
    world = decided(party, staked_provider, local_chain.rpc)
    market = world.duels.market
    counted = Counter[str]()

    def ask(method: str, spoil: Callable[[Any], Any]) -> None:
        node: Any = Spoilt(market.rpc, method, spoil, counted)
        counted.clear()
        with suppress(ChainError, MalformedMessage):
            checked(Market(node, market.deployment), to_hex(world.id))
        assert counted.total() < 50

    ask("", lambda _: None)
    assert counted["eth_getLogs"] == 3, "it is there, and all of it is asked for"
    for method in ASKED:
        for spoil in spoilers(method):
            ask(method, spoil)
    ask("eth_getLogs", lambda logs: [log | {"blockNumber": hex(1 << 50)} for log in logs])
