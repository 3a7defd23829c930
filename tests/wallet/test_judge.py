"""A provider enlists, is weighed, retires, and has paid out what duels and audits owe it, by commands."""

from collections.abc import Callable
from typing import Any

import pytest

from tallystick.chain.duels import Duels, Status
from tallystick.protocol.duel import Vote
from tallystick.protocol.units import Atoms, to_hex
from tests.chain.test_duels import SALT, World, mine

from .conftest import Tally

__all__ = ["mine"]  # a fixture

STAKE = 200_000_000


@pytest.fixture
def provider(tally: Tally, staked_provider: Callable[..., Any]) -> Any:
    key = tally.add_wallet("provider")
    return staked_provider(STAKE, key)


@pytest.fixture
def world(party: Any, staked_provider: Any, mine: Any) -> World:
    """A duel that is open."""
    return World(party, staked_provider, mine)


def test_a_provider_enlists_and_retires(tally: Tally, provider: Any) -> None:
    shown = tally.json("judge", "show")
    assert (shown["enlisted"], shown["owed"]) == (False, {"duels": "0", "audits": "0"})
    assert "not enlisted" in tally("judge", "show").out
    told = tally.json("judge", "enlist", "--yes")
    assert (told["weight"], told["owner"]) == (str(STAKE), to_hex(provider.address))
    assert len(told["transactions"]) == 1
    assert Duels(provider.market).judge(provider.address).weight == STAKE

    more = Atoms(50_000_000)
    provider.market.mint(more)
    provider.market.add_stake(more)
    told = tally.json("judge", "refresh", "--yes")
    assert told["weight"] == str(STAKE + more)
    told = tally.json("judge", "retire", "--yes")
    assert (told["enlisted"], told["weight"]) == (True, "0")
    assert "retired" in tally("judge", "show").out


def test_an_owner_consents_before_it_is_named(tally: Tally, provider: Any, party: Callable[..., Any]) -> None:
    owner = party(0, tally.add_wallet("owner"))
    asked = ("judge", "enlist", "--owner", "owner", "--wallet", "provider", "--yes")
    assert tally(*asked).status == 1
    tally.json("judge", "consent", to_hex(provider.address), "--wallet", "owner", "--yes")
    assert tally.json(*asked)["owner"] == to_hex(owner.address)


def test_who_has_no_stake_is_told_why_it_cannot_enlist(tally: Tally, party: Callable[..., Any]) -> None:
    party(0, tally.add_wallet("nobody"))
    told = tally("judge", "enlist", "--yes", "--json")
    assert told.status == 1
    assert told.data["error"]["code"] == "contract-error"
    assert "stake" in told.data["error"]["message"]


def test_what_is_owed_is_withdrawn_by_anybody_to_whom_it_is_owed(
    tally: Tally, provider: Any, world: World
) -> None:
    told = tally.json("judge", "withdraw", "--yes")
    assert (told["withdrawn"], told["transactions"]) == ({}, [])
    judge, *_ = panel = world.panel()
    world.duels.decide(world.id, world.case, [world.cast(one, Vote.FIRST) for one in panel], salt=SALT)
    owed = str(world.duels.balance_of(judge))
    assert tally.json("judge", "show", to_hex(judge))["owed"] == {"duels": owed, "audits": "0"}
    told = tally.json("judge", "withdraw", to_hex(judge), "--yes")
    assert (told["withdrawn"], len(told["transactions"])) == ({"duels": owed}, 1)
    assert world.duels.market.asset_balance(judge) == int(owed) > 0
    assert tally("judge", "withdraw", to_hex(judge), "--yes").out.strip() == "Nothing is owed."


def test_a_duel_that_nobody_decided_is_brought_to_an_end(
    tally: Tally, provider: Any, world: World, pass_time: Callable[[int], None]
) -> None:
    duel = to_hex(world.id)
    early = tally("duel", "expire", duel, "--yes", "--json")
    assert (early.status, early.data["error"]["code"]) == (1, "contract-error")
    pass_time(4 * world.duels.terms().period_s + 1)
    told = tally.json("duel", "expire", duel, "--yes")
    assert (told["duel"], len(told["transactions"])) == (duel, 1)
    assert world.duels.duel(world.id).status is not Status.OPEN


@pytest.mark.parametrize("duel", ["1", "0x12", "0x" + "00" * 32])
def test_what_is_no_duel_does_not_expire(tally: Tally, provider: Any, duel: str) -> None:
    told = tally("duel", "expire", duel, "--yes", "--json")
    assert (told.status, told.data["error"]["code"]) == (1, "malformed-message")
