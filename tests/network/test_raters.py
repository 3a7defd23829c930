"""Ratings that wait for the chain: nobody's crowd out another's, and nothing grows without end."""

from collections.abc import Hashable
from dataclasses import replace

import pytest

from tallystick.protocol.served import AGAIN_MS, KNOWN
from tallystick.protocol.status import Rating
from tallystick.protocol.units import Address
from tallystick_node.network.raters import AT_ONCE, FROM_ONE, LOOKS, WAITING, Raters
from tests.network.wired import key_of, said_rating

SAID = said_rating(key_of(50), key_of(1))


def rating(number: int) -> Rating:
    assert isinstance(SAID.proof.message, Rating)
    return replace(SAID.proof.message, session_key=Address(number.to_bytes(20, "big")))


def peer(number: int) -> Address:
    return Address(bytes(19) + bytes((number,)))


@pytest.fixture
def raters() -> Raters:
    return Raters()


def wait(raters: Raters, number: int, sender: Hashable, now: int = 0) -> bool:
    if not raters.may_wait(rating(number), sender, now):
        return False
    raters.wait(replace(SAID, sequence=number), rating(number), sender, now)
    return True


def look(raters: Raters, now: int = 0, *, served: bool = True) -> list[int]:
    """What is looked up now, and learnt."""
    found = raters.next(now)
    for waiting in found:
        raters.learn(waiting, served, now)
    return [waiting.said.sequence for waiting in found]


def test_who_sends_much_waits_behind_itself(raters: Raters) -> None:
    assert sum(wait(raters, number, peer(1)) for number in range(1_000)) == FROM_ONE

    assert wait(raters, 2_000, peer(2))
    assert 2_000 in look(raters)[:2]


def test_payers_of_a_thousand_addresses_leave_peers_their_half(raters: Raters) -> None:
    assert sum(wait(raters, number, f"2001:db8::{number:x}") for number in range(1_000)) == WAITING
    for number in range(1_000, 1_064):
        assert wait(raters, number, peer(1))

    found = look(raters)
    assert len(found) == AT_ONCE
    assert sum(number >= 1_000 for number in found) == AT_ONCE // 2


def test_what_is_said_again_of_a_channel_does_not_wait_twice(raters: Raters) -> None:
    assert wait(raters, 7, peer(1))
    assert not wait(raters, 7, peer(1))

    assert look(raters) == [7]
    assert not raters.waiting


def test_what_is_known_is_bounded(raters: Raters) -> None:
    for number in range(KNOWN + 1):
        wait(raters, number, peer(1))
        look(raters)

    assert not raters.is_served(rating(0), 0)
    assert raters.is_served(rating(1), 0)


def test_a_channel_that_is_not_there_is_looked_up_so_often_and_no_more(raters: Raters) -> None:
    wait(raters, 1, peer(1))
    for turn in range(LOOKS):
        now = turn * AGAIN_MS
        assert look(raters, now, served=False) == [1]
        assert look(raters, now + AGAIN_MS - 1) == []
        assert not wait(raters, 1, peer(1), now + AGAIN_MS - 1)

    assert not raters.waiting
    assert wait(raters, 1, peer(1), LOOKS * AGAIN_MS)


def test_a_channel_that_is_mined_later_is_found(raters: Raters) -> None:
    wait(raters, 1, peer(1))
    look(raters, served=False)
    look(raters, AGAIN_MS)

    assert raters.is_served(rating(1), AGAIN_MS)


def test_who_invents_channels_has_few_looked_up(raters: Raters) -> None:
    """Each waits in its sender's own place, as long as it is looked for."""
    looked = 0
    for second in range(100):
        for number in range(100):
            wait(raters, 1_000 + 100 * second + number, peer(1), 1_000 * second)
        looked += len(look(raters, 1_000 * second, served=False))

    assert looked <= LOOKS * FROM_ONE * (100_000 // ((LOOKS - 1) * AGAIN_MS) + 1)


def test_all_that_waits_is_looked_up_at_some_time(raters: Raters) -> None:
    senders: list[Hashable] = [peer(1), peer(2), "10.0.0.1", "10.0.0.2", "10.0.0.3"]
    wanted = {number for number in range(300) if wait(raters, number, senders[number % 5])}
    found: set[int] = set()
    while raters.waiting:
        found.update(look(raters))

    assert found == wanted
