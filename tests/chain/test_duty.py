"""A judge's node on a real chain: summoned, it says what it has to say in time, and moves what it earned."""

from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

import pytest

from tallystick.chain import contracts
from tallystick.chain.duels import Duels, Status
from tallystick.chain.errors import ContractError
from tallystick.protocol.duel import Vote
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.units import Address, to_hex
from tallystick.protocol.vote import Ballot, choice_of
from tallystick_node.config import QualityConfig
from tallystick_node.gateway.start import is_silent_judge
from tallystick_node.quality.duty import SEAT_S, Duty
from tallystick_node.store.records import BallotCast
from tests.chain.test_duels import BODY_HASH, FEE, SALT, SEATS, World, mine, world

__all__ = ["mine", "world"]  # fixtures


class Bench:
    """The panel's nodes, each with the ballots that it cast."""

    def __init__(self, world: World):
        self.world = world
        self.panel = world.panel()
        self.ballots: dict[Address, BallotCast] = {}
        self.duties = {judge: self.started(judge) for judge in self.panel}
        self.terms = world.duels.terms()

    def started(self, judge: Address) -> Duty:
        party = self.world.judges[judge]
        return Duty(
            provider=judge,
            key=party.key,
            domain=party.market.deployment.domain,
            duels=Duels(party.market),
        )

    def cast(self, judge: Address, vote: Vote) -> None:
        answers = self.world.case.first.receipt.message, self.world.case.second.receipt.message
        ballot = Ballot(
            duel=self.world.id,
            judge=judge,
            body_hash=BODY_HASH,
            first_response_hash=answers[0].response_hash,
            second_response_hash=answers[1].response_hash,
            choice=choice_of(vote),
            salt=keccak(judge),
        )
        self.ballots[judge] = BallotCast(ballot=ballot, panel=tuple(self.panel))

    def step(self, *, clear: bool = True) -> None:
        for judge, duty in self.duties.items():
            held = {self.world.id: self.ballots.get(judge)}
            duty.step(held.get, clear=clear)

    @property
    def status(self) -> Status:
        return self.world.duels.duel(self.world.id).status


def said(world: World, name: str) -> int:
    """How many judges of the duel did that on chain."""
    events = contracts.duels().interface.events
    (topic,) = (topic for topic, entry in events.items() if entry.name == name)
    asked = {"fromBlock": "0x0", "topics": [to_hex(topic), to_hex(world.id)]}
    return len(world.duels.market.rpc.call("eth_getLogs", asked))


@pytest.fixture
def bench(world: World) -> Bench:
    return Bench(world)


def test_who_is_not_summoned_has_nothing_to_do(bench: Bench) -> None:
    bench.step()
    assert bench.status is Status.OPEN


def test_summoned_judges_commit_reveal_and_settle(bench: Bench, pass_time: Callable[[int], None]) -> None:
    """A challenger that gathers ballots and then says nothing costs none of them a fee."""
    world, period, before = bench.world, bench.terms.period_s, bench.world.held()
    bench.cast(bench.panel[0], Vote.FIRST)
    bench.cast(bench.panel[1], Vote.FIRST)
    bench.cast(bench.panel[2], Vote.TIE)
    world.duels.summon(world.id, world.case, [])
    for elapsed in (period, period):
        bench.step()
        bench.step()  # Once more changes nothing.
        pass_time(elapsed)
    world.duels.decide(world.id, world.case, [], salt=SALT)
    assert bench.status is Status.APPEALABLE
    bench.step()
    pass_time(period + SEAT_S * SEATS)
    bench.step()

    assert bench.status is Status.ENDED
    gained = {judge: world.held()[judge] - before[judge] for judge in bench.panel}
    assert gained[bench.panel[0]] >= FEE // SEATS
    assert gained[bench.panel[2]] == 0


def test_who_was_never_shown_the_case_declines_and_loses_nothing(
    bench: Bench, pass_time: Callable[[int], None]
) -> None:
    world, period, before = bench.world, bench.terms.period_s, bench.world.held()
    bench.cast(bench.panel[0], Vote.FIRST)
    world.duels.summon(world.id, world.case, [])
    bench.step()
    pass_time(period // 2)
    bench.step()
    pass_time(period // 2)
    bench.step()
    pass_time(period)
    world.duels.decide(world.id, world.case, [], salt=SALT)
    bench.step()
    pass_time(period + SEAT_S * SEATS)
    bench.step()

    assert bench.status is Status.ENDED
    after = world.held()
    assert [after[judge] - before[judge] for judge in bench.panel[1:]] == [0, 0]
    assert after[bench.panel[0]] > before[bench.panel[0]]


def test_what_hangs_keeps_no_judge_silent(bench: Bench, pass_time: Callable[[int], None]) -> None:
    """It has half of each period to be mined, and then what is sent takes its place. Money can wait."""
    world, period = bench.world, bench.terms.period_s
    for judge, vote in zip(bench.panel, (Vote.FIRST, Vote.FIRST, Vote.TIE), strict=True):
        bench.cast(judge, vote)
    world.duels.summon(world.id, world.case, [])
    for name in ("Committed", "Revealed"):
        bench.step(clear=False)
        assert said(world, name) == 0
        pass_time(period // 2)
        bench.step(clear=False)
        assert said(world, name) == SEATS
        pass_time(period // 2)
    world.duels.decide(world.id, world.case, [], salt=SALT)
    pass_time(period + SEAT_S * SEATS)
    bench.step(clear=False)
    assert bench.status is Status.SETTLEABLE
    bench.step()
    assert bench.status is Status.ENDED


def test_a_case_that_is_shown_late_is_voted_on_all_the_same(
    bench: Bench, pass_time: Callable[[int], None]
) -> None:
    world = bench.world
    world.duels.summon(world.id, world.case, [])
    bench.step()
    for judge in bench.panel:
        bench.cast(judge, Vote.SECOND)
    bench.step()
    pass_time(bench.terms.period_s)
    bench.step()
    pass_time(bench.terms.period_s)
    world.duels.decide(world.id, world.case, [], salt=SALT)
    assert bench.status is Status.ENDED


def test_a_case_that_is_shown_after_it_declined_troubles_it_no_more(
    bench: Bench, pass_time: Callable[[int], None]
) -> None:
    """Else whoever shows it late would make each look fail, for as long as ballots are revealed."""
    world, period = bench.world, bench.terms.period_s
    bench.cast(bench.panel[0], Vote.FIRST)
    world.duels.summon(world.id, world.case, [])
    pass_time(period // 2)
    bench.step()
    for late in bench.panel[1:]:
        bench.cast(late, Vote.FIRST)
    pass_time(period // 2)
    for _ in range(2):
        bench.step()
    bench.duties = {judge: bench.started(judge) for judge in bench.panel}
    bench.step()
    pass_time(period)
    world.duels.decide(world.id, world.case, [], salt=SALT)
    assert bench.status is Status.APPEALABLE


@pytest.mark.parametrize(("refusal", "tries"), [("NotDrawn", 1), ("GasTooLow", 3)])
def test_what_the_chain_will_never_take_is_not_sent_at_each_look(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, refusal: str, tries: int
) -> None:
    """What it may take later is."""
    sent: list[str] = []

    def refuses(*_: object) -> None:
        sent.append(refusal)
        raise ContractError(refusal, {"judge": bytes(20), "required": 2, "actual": 1})

    judge = bench.panel[0]
    bench.cast(judge, Vote.FIRST)
    bench.duties = {judge: bench.duties[judge]}
    bench.world.duels.summon(bench.world.id, bench.world.case, [])
    monkeypatch.setattr(Duels, "commit", refuses)
    for _ in range(3):
        with suppress(ContractError) if refusal == "GasTooLow" else nullcontext():
            bench.step()
    assert sent == [refusal] * tries


def test_a_node_that_would_be_drawn_and_say_nothing_is_found_as_it_starts(world: World) -> None:
    judge = next(iter(world.judges.values()))
    assert is_silent_judge(QualityConfig(), judge.market, judge.address)
    assert not is_silent_judge(QualityConfig(judge=True), judge.market, judge.address)
    assert not is_silent_judge(QualityConfig(), judge.market, world.first.address)
    Duels(judge.market).retire()
    assert not is_silent_judge(QualityConfig(), judge.market, judge.address)


def test_a_node_that_died_goes_on_where_it_was(bench: Bench, pass_time: Callable[[int], None]) -> None:
    world: Any = bench.world
    for judge in bench.panel:
        bench.cast(judge, Vote.FIRST)
    world.duels.summon(world.id, world.case, [])
    bench.step()
    bench.duties = {judge: bench.started(judge) for judge in bench.panel}
    bench.step()
    pass_time(bench.terms.period_s)
    bench.duties = {judge: bench.started(judge) for judge in bench.panel}
    bench.step()
    pass_time(bench.terms.period_s)
    world.duels.decide(world.id, world.case, [], salt=SALT)
    assert bench.status is Status.ENDED
