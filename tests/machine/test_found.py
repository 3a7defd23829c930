"""What the machine found, step by step, so that it stays mended whatever the machine does next."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import place_of
from tests.machine.chain import CLOSE_NOTICE
from tests.machine.world import World, steady_chance


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with steady_chance():
        made = World(tmp_path, sqlite=True, credit=800, unsecured=500, budget=2_500, deposit=5_000)
        yield made
        made.close()


def test_a_request_that_its_closing_channel_cut_off_accuses_nobody(world: World) -> None:
    """Its answer is billed and can no longer be fetched: the payer does not know what became of it, and that
    is not the same as never having asked."""
    world.ask(streamed=False, words=3, tokens=1)
    world.rush()
    world.processes[0].abandon()
    (channel,) = world.me.purse.leased.values()
    world.upkeep()
    world.chain.request_close(channel.key)
    world.ask(streamed=False, words=3, tokens=1)
    world.rush()

    world.come_to_rest()

    assert world.node.books.tabs[channel.id].issued.count > 0
    assert not world.me.purse.evidence.refused()


def test_a_closed_channel_holds_no_budget_after_a_crash(world: World) -> None:
    world.ask(streamed=True, words=3, tokens=30)
    world.me.purse.retire(next(iter(world.me.purse.leased.values())), "closed")
    assert world.me.purse.spending()[1] > 0

    world.crash_payer(noticed=True)
    world.come_to_rest()

    assert world.me.purse.spending()[1] == 0


def test_a_request_on_an_epoch_that_the_chain_took_back_ends(world: World) -> None:
    """Its provider knows no such channel any more, and can be paid for nothing on it."""
    world.ask(streamed=False, words=3, tokens=1)
    world.come_to_rest()
    (channel,) = world.me.purse.leased.values()
    world.chain.request_close(channel.key)
    world.clock.advance(CLOSE_NOTICE)
    world.chain.finalize_close(channel.key)
    world.poll()
    world.ask(streamed=True, words=3, tokens=30)
    world.rush()
    assert [item.key.epoch for item in world.me.purse.leased.values() if item.running] == [1]
    world.processes[0].abandon()
    world.reorganise(2, mined_again=False)
    world.crash_gateway()

    world.come_to_rest()

    assert world.me.purse.spending()[1] == 0


def test_a_request_that_a_dead_process_left_on_the_next_epoch_of_a_key_ends(world: World) -> None:
    """It had left one on the epoch before too, of the same key."""
    world.ask(streamed=False, words=3, tokens=1)
    world.rush()
    world.upkeep()
    (channel,) = world.me.purse.leased.values()
    world.chain.request_close(channel.key)
    world.clock.advance(CLOSE_NOTICE)
    world.chain.finalize_close(channel.key)
    world.poll()
    world.ask(streamed=True, words=3, tokens=1)
    world.rush()
    running = [item.key.epoch for item in world.me.purse.leased.values() if item.running]
    assert running == [0, 1]

    world.crash_payer(noticed=False)
    world.come_to_rest()

    assert world.me.purse.spending()[1] == 0


def test_a_request_on_a_closing_channel_that_its_provider_lost_ends(world: World) -> None:
    """The grant that comes along would raise its cap, which nobody can any more."""
    world.ask(streamed=True, words=41, tokens=1)
    world.rush()
    world.upkeep()
    (channel,) = world.me.purse.leased.values()
    world.crash_gateway(forgets=True)
    world.chain.request_close(channel.key)
    world.ask(streamed=True, words=36, tokens=90)
    assert channel.granted > world.chain.channel(*place_of(channel.key)).cap > 0

    world.crash_payer(noticed=True)
    world.come_to_rest()

    assert world.me.purse.spending()[1] == 0
