"""What a provider earned goes where its node wants it, on a real chain."""

from collections.abc import Callable

import pytest

from tallystick.protocol.units import Atoms
from tallystick_node.network.treasury import refill, restake
from tests.conftest import DOLLAR, Party

DAY = 86_400


@pytest.fixture
def provider(staked_provider: Callable[..., Party]) -> Party:
    return staked_provider(150 * DOLLAR)


def account(party: Party) -> int:
    return party.market.account(party.address).free


def staked(party: Party) -> tuple[int, int]:
    stake = party.market.stake(party.address)
    return stake.staked, stake.exiting


def test_an_account_is_filled_when_half_of_it_is_gone(provider: Party) -> None:
    assert refill(provider.market, provider.address, Atoms(10 * DOLLAR)) == 0, "there is nothing to move"
    provider.market.mint(Atoms(12 * DOLLAR))
    assert refill(provider.market, provider.address, Atoms(10 * DOLLAR)) == 10 * DOLLAR
    assert refill(provider.market, provider.address, Atoms(10 * DOLLAR)) == 0
    assert refill(provider.market, provider.address, Atoms(19 * DOLLAR)) == 0, "more than half is there"
    assert refill(provider.market, provider.address, Atoms(30 * DOLLAR)) == 2 * DOLLAR, "all that there is"
    assert account(provider) == 12 * DOLLAR


def test_stake_is_raised_by_what_there_is_and_lowered_once_at_a_time(
    provider: Party, pass_time: Callable[[int], None]
) -> None:
    provider.market.mint(Atoms(20 * DOLLAR))
    restake(provider.market, provider.address, Atoms(160 * DOLLAR))
    assert staked(provider) == (160 * DOLLAR, 0)
    restake(provider.market, provider.address, Atoms(500 * DOLLAR))
    assert staked(provider) == (170 * DOLLAR, 0), "all that there is"
    restake(provider.market, provider.address, Atoms(120 * DOLLAR))
    assert staked(provider) == (120 * DOLLAR, 50 * DOLLAR)
    restake(provider.market, provider.address, Atoms(110 * DOLLAR))
    assert staked(provider) == (120 * DOLLAR, 50 * DOLLAR), "the notice of the first would begin anew"
    pass_time(DAY + 1)
    restake(provider.market, provider.address, Atoms(110 * DOLLAR))
    assert staked(provider) == (120 * DOLLAR, 0), "paid out first"
    restake(provider.market, provider.address, Atoms(120 * DOLLAR))
    assert provider.market.asset_balance(provider.address) == 50 * DOLLAR
