"""An accusation that a node tells is checked step by step, as it stands: by what its own node says of it, and
by no node's nonsense."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from tallystick.chain.audits import Status
from tallystick.chain.errors import ChainError
from tallystick.chain.market import Market
from tallystick.chain.strike_audit import check
from tallystick.chain.strike_record import AccusationRecord
from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.strikes import SEATS, Opinion
from tallystick.protocol.units import Atoms, Hash32, to_hex
from tallystick.wallet.accusation_view import checked
from tests.chain.test_audits import World, mine, world
from tests.chain.test_duel_audit import ASKED, Spoilt, spoilers

__all__ = ["mine", "world"]  # fixtures


def told(world: World, accusation: Hash32) -> dict[str, Any]:
    """What holds, by step."""
    data = checked(world.audits.market, to_hex(accusation)).data
    assert (data["accusation"], data["ok"]) == (to_hex(accusation), True)
    return {step["name"]: step["holds"] for step in data["steps"]}


def test_an_accusation_is_checked_as_far_as_it_is_come(world: World) -> None:
    strikes = ("strike 1", "strike 2", "strike 3")
    world.strike()
    accusation = world.audits.accusation(world.accused).id
    assert told(world, accusation) == dict.fromkeys(strikes, True) | {"outcome": None}
    world.step()
    seatless = told(world, accusation)
    assert (seatless["re-auditors"], seatless["ballots"]) == (None, None)
    world.mine(3)
    world.step()
    world.reaudited(Opinion.UPHOLD, Opinion.CLEAR, Opinion.NONE)
    open_ended = told(world, accusation)
    assert (open_ended["re-auditors"], open_ended["ballots"], open_ended["outcome"]) == (True, True, None)
    world.step()
    world.provider.market.mint(Atoms(5))
    world.provider.market.add_stake(Atoms(5))  # What comes after changes nothing of it.
    names = (*strikes, "re-auditors", "ballots", "outcome", "money")
    assert told(world, accusation) == dict.fromkeys(names, True)
    each_step_sees_what_is_wrong(world, accusation)
    no_node_makes_a_check_stumble(world, accusation)


def each_step_sees_what_is_wrong(world: World, accusation: Hash32) -> None:
    """Of what was read, not of what it is compared with."""
    facts = AccusationRecord(world.audits).facts(accusation)
    assert facts is not None
    assert facts.reaudit is not None
    assert facts.moved is not None
    first, cleared, last = facts.strikes
    reaudit, moved = facts.reaudit, facts.moved
    assert len(reaudit.revealed) == SEATS
    one = reaudit.seats[0]
    without_it = [each for each in first.candidates if each.provider != first.auditor]
    for wrong, name in (
        (
            replace(facts, strikes=[replace(first, candidates=without_it), cleared, last]),
            "strike 1",
        ),
        (replace(facts, keys={}), "strike 2"),
        (replace(facts, reaudit=replace(reaudit, candidates=reaudit.candidates[1:])), "re-auditors"),
        (replace(facts, reaudit=replace(reaudit, committed={})), "ballots"),
        (replace(facts, moved=replace(moved, burnt=Atoms(moved.burnt + 1))), "money"),
        (replace(facts, moved=replace(moved, gained={**moved.gained, one: 1})), "money"),
        (replace(facts, strikes=[first, replace(cleared, stake=Atoms(2 * cleared.stake)), last]), "money"),
    ):
        assert name in {step.name for step in check(wrong) if step.holds is False}


def no_node_makes_a_check_stumble(world: World, accusation: Hash32) -> None:
    market = world.audits.market
    for method in ASKED:
        for spoil in spoilers(method):
            node: Any = Spoilt(market.rpc, method, spoil)
            with suppress(ChainError, MalformedMessage):
                checked(Market(node, market.deployment), to_hex(accusation))


def test_an_accusation_that_nobody_answered_is_checked_too(world: World) -> None:
    world.nodes[world.accused] = world.node(world.accused, answer=Atoms(0))
    world.strike()
    accusation = world.audits.accusation(world.accused).id
    world.pass_time(world.period)
    world.step()
    assert world.audits.accusation(world.accused).status is Status.NONE
    assert told(world, accusation)["money"]
    for name in ("0x12", "accusation", to_hex(Hash32(bytes(32)))):
        with pytest.raises(MalformedMessage):
            checked(world.audits.market, name)
