"""What one node makes of the gossip, decision by decision: whom it calls, what it tells, when it speaks."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle

import pytest

from tallystick.protocol.gossip import BODY_LIMIT, size_of, write_body
from tallystick.protocol.hearsay import QUIET, Said, said_suspicion
from tallystick.protocol.signed import Key, sign
from tallystick.protocol.status import Status, Suspicion
from tallystick.protocol.units import Address, Tokens
from tallystick_node.network.roster import Roster, roster_of
from tallystick_node.network.talk import FANOUT, KNOWN, Draw, Talk
from tests.network.wired import DOMAIN, key_of, offer_of, said_by, said_rating, status_of_node

OWN, OTHER, THIRD = key_of(1), key_of(2), key_of(3)


def roster(*keys: Key, named: Sequence[Address] = ()) -> Roster:
    return roster_of([offer_of(key, named=named) for key in keys], local=True)


def among(count: int) -> Talk:
    """Of node 1; all have spoken once, and what they said is repeated no more."""
    talk = Talk(OWN.address)
    keys = [key_of(number) for number in range(1, count + 1)]
    talk.learn(roster(*keys))
    for key in keys:
        talk.take(said_by(key), 0, repeated=False)
    return talk


@pytest.fixture
def talk() -> Talk:
    return among(4)


def accusation(accuser: Key, provider: Key, sequence: int = 1) -> Said:
    message = Suspicion(accuser=accuser.address, provider=provider.address, sequence=sequence)
    return said_suspicion(sign(message, DOMAIN, accuser))


def drawing(*numbers: float) -> Draw:
    endless: Iterator[float] = cycle(numbers)
    return lambda: next(endless)


def told(talk: Talk, to: Key = THIRD, now: int = 0, **options: object) -> list[Said]:
    return talk.message(to.address, now, **options)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- hearing


def test_a_speaker_has_four_messages_at_once_and_then_one_each_half_interval(talk: Talk) -> None:
    taken = [talk.take(said_by(OTHER, sequence=2 + i), 10_000) for i in range(5)]
    assert taken == [True, True, True, True, False]
    again = said_by(OTHER, sequence=99)
    assert not talk.wants(again.key, again.sequence, again.packed, 10_499)
    assert talk.wants(again.key, again.sequence, again.packed, 10_500)
    assert talk.take(said_by(THIRD, sequence=2), 10_000)  # Another's pace is its own.


def test_an_accuser_has_one_pace_whomever_it_accuses() -> None:
    talk = among(9)
    taken = [talk.take(accusation(OTHER, key_of(number)), 10_000) for number in range(3, 9)]
    assert taken == [True] * 4 + [False] * 2


def test_all_payers_of_a_provider_have_one_pace(talk: Talk) -> None:
    taken = [talk.take(said_rating(key_of(50 + i), OTHER), 10_000) for i in range(6)]
    assert taken == [True] * 4 + [False] * 2


def test_what_is_said_against_oneself_is_answered_at_any_pace() -> None:
    """And so is one's own word of before, which others tell."""
    talk = among(9)
    for number in range(2, 8):
        talk.take(accusation(key_of(number), OWN), 10_000)
    assert len(talk.hearsay.suspicions(OWN.address)) == 4  # As many as are remembered.


def test_a_payer_s_word_of_oneself_has_the_pace_of_any(talk: Talk) -> None:
    taken = [talk.take(said_rating(key_of(50 + i), OWN), 10_000) for i in range(6)]
    assert taken == [True] * 4 + [False] * 2
    assert talk.due([status_of_node(OWN)], 10_000)[0].sequence == 2  # It is no sequence of ours.


def test_who_knows_as_much_is_not_behind(talk: Talk) -> None:
    key = said_by(OTHER).key
    assert [talk.is_behind(key, sequence) for sequence in (0, 1, 2)] == [True, False, False]


def test_what_comes_in_a_whole_reading_is_not_repeated(talk: Talk) -> None:
    talk.take(said_by(OTHER, sequence=2), 0, repeated=False)
    assert said_by(OTHER).key not in {said.key for said in told(talk)}


# ------------------------------------------------------------------------------------------- whom to call


def called(talk: Talk, draw: Draw, now: int = 0) -> list[Address]:
    return [peer.provider for peer in talk.targets(now, draw)]


def test_among_few_all_others_are_called_and_nobody_twice(talk: Talk) -> None:
    assert sorted(called(talk, drawing(0.99))) == sorted(key_of(n).address for n in (2, 3, 4))


def test_among_many_three_are_drawn() -> None:
    talk = among(12)
    order = talk.roster.order
    others = [place for place, provider in enumerate(order) if provider != OWN.address]
    draw = drawing(*((place + 0.5) / 12 for place in (others[1], others[1], others[5], others[7])))
    assert called(talk, draw) == [order[others[place]] for place in (1, 5, 7)]
    assert FANOUT == 3


@pytest.mark.parametrize(("chance", "is_called"), [(0.1, True), (0.3, False)])
def test_one_that_seems_not_to_be_there_is_called_now_and_then(chance: float, is_called: bool) -> None:
    talk = among(12)
    order, dead = talk.roster.order, key_of(5)
    talk.take(accusation(OTHER, dead), 0)
    talk.take(accusation(THIRD, dead), 0)
    there = [place for place, one in enumerate(order) if one not in (OWN.address, dead.address)]
    places = [order.index(dead.address), *there[:3]]
    found = called(talk, drawing(*((place + 0.5) / 12 for place in places), chance))
    assert (found[0] == dead.address, len(found)) == (is_called, 3)


def test_one_never_heard_of_is_a_stranger() -> None:
    talk = Talk(OWN.address)
    talk.learn(roster(*(key_of(number) for number in range(1, 13))))
    order, silent = talk.roster.order, key_of(5)
    for number in (1, 2, 3, 4, *range(6, 13)):
        talk.take(said_by(key_of(number)), 0)
    there = [place for place, one in enumerate(order) if one not in (OWN.address, silent.address)]
    places = [order.index(silent.address), *there[:3]]
    assert silent.address not in called(talk, drawing(*((place + 0.5) / 12 for place in places), 0.99))


def test_where_nobody_was_heard_of_strangers_are_called() -> None:
    talk = Talk(OWN.address)
    talk.learn(roster(*(key_of(number) for number in range(1, 13))))
    assert len(called(talk, drawing(*((place + 0.5) / 12 for place in range(12)), 0.99))) == 3


def test_who_proved_to_be_there_is_not_suspected(talk: Talk) -> None:
    for accuser in (THIRD, key_of(4)):
        talk.take(accusation(accuser, OTHER), 1_000)
    assert talk.is_suspected(OTHER.address, 1_000)
    talk.answered(OTHER.address, 1_500)
    assert not talk.is_suspected(OTHER.address, 5_000)
    assert not talk.is_gone(OTHER.address, 5_000)


def test_who_is_accused_once_is_not_accused_again_of_the_same_silence(talk: Talk) -> None:
    found = talk.failed(OTHER.address, 1_000)
    assert found == Suspicion(accuser=OWN.address, provider=OTHER.address, sequence=1)
    talk.take(said_suspicion(sign(found, DOMAIN, OWN)), 1_000)
    assert talk.failed(OTHER.address, 2_000) is None
    talk.take(said_by(OTHER, sequence=2), 3_000)
    again = talk.failed(OTHER.address, 4_000)
    assert again is not None
    assert again.sequence == 2


def test_the_gone_and_those_who_never_spoke_are_not_accused(talk: Talk) -> None:
    assert talk.failed(key_of(9).address, 0) is None
    for accuser in (THIRD, key_of(4)):
        talk.take(accusation(accuser, OTHER), 1_000)
    assert talk.failed(OTHER.address, 3_999) is not None
    assert talk.failed(OTHER.address, 4_000) is None


# ------------------------------------------------------------------------------------------- what to tell


def test_the_accused_is_told_first_and_the_accusation_goes_behind_its_ground(talk: Talk) -> None:
    talk.take(accusation(OTHER, THIRD), 0)
    assert [said.key[0] for said in told(talk, THIRD)][:1] == ["suspicion"]
    kinds = [said.key[:2] for said in told(talk, OTHER)]
    assert kinds == [("status", THIRD.address), ("suspicion", THIRD.address)]


def test_a_ground_that_is_a_rumour_too_is_not_told_twice(talk: Talk) -> None:
    talk.take(said_by(THIRD, sequence=2), 0)
    talk.take(accusation(OTHER, THIRD, 2), 0)
    keys = [said.key for said in told(talk, OTHER)]
    assert len(keys) == len(set(keys)) == 2


def test_the_ground_of_two_accusations_is_told_once(talk: Talk) -> None:
    for accuser in (OTHER, key_of(4)):
        talk.take(accusation(accuser, THIRD), 0)
    kinds = [said.key[0] for said in told(talk, OTHER)]
    assert kinds == ["status", "suspicion", "suspicion"]


def test_who_is_behind_is_told_what_is_later_and_who_knows_is_not(talk: Talk) -> None:
    later = said_by(OTHER, sequence=2)
    talk.take(later, 0, repeated=False)
    assert later in told(talk, behind=[later.key])
    talk.take(said_by(key_of(4), sequence=2), 0)
    assert told(talk, known=[said_by(key_of(4)).key]) == []


def test_each_message_begins_with_one_s_own_word(talk: Talk) -> None:
    (made,) = talk.due([status_of_node(OWN)], 5_000)
    own = said_by(OWN, sequence=made.sequence)
    talk.take(own, 5_000, repeated=False)
    talk.take(said_by(OTHER, sequence=2), 5_000)
    for _ in range(9):
        assert told(talk)[0] == own


def test_the_least_told_comes_first_and_of_these_the_newest() -> None:
    """A body holds 63 statuses."""
    talk = among(150)
    for number in range(2, 102):
        talk.take(said_by(key_of(number), sequence=2), 10_000)
    first, second = ([int(key_of_number(said)) for said in told(talk, key_of(150), 10_000)] for _ in range(2))
    assert first == list(range(101, 101 - len(first), -1))
    assert second[: 100 - len(first)] == list(range(101 - len(first), 1, -1))


def key_of_number(said: Said) -> int:
    return NUMBERS[said.key[1]]


NUMBERS = {key_of(number).address: number for number in range(1, 151)}


def test_a_message_fits_a_body_and_accusations_have_a_third_of_it() -> None:
    talk = among(150)
    for number in range(2, 102):
        talk.take(said_by(key_of(number), sequence=2), 10_000)
    for number in range(2, 102):
        talk.take(accusation(key_of(number), key_of(number + 1), 2 if number < 101 else 1), 10_000)
    found = told(talk, key_of(150), 10_000)
    sizes = {kind: sum(size_of(said) for said in found if said.key[0] == kind) for kind in KNOWN}
    assert BODY_LIMIT - 64 - 400 < sum(sizes.values()) <= BODY_LIMIT - 64
    assert 0 < sizes["suspicion"] < BODY_LIMIT // 3


def test_what_must_be_told_never_makes_a_body_too_large() -> None:
    talk = among(150)
    behind = [said_by(key_of(number)).key for number in range(2, 150)]
    found = told(talk, key_of(150), behind=behind)
    assert BODY_LIMIT - 400 < len(write_body(bytes(32), found)) <= BODY_LIMIT


def test_ratings_with_their_receipts_fit_a_body_too() -> None:
    talk = among(60)
    for number in range(2, 52):
        talk.take(said_rating(key_of(100), key_of(number)), 10_000)
    body = write_body(b"", told(talk, key_of(60), 10_000))
    assert BODY_LIMIT - 800 < len(body) <= BODY_LIMIT


@pytest.mark.parametrize("kind", ["status", "suspicion"])
def test_a_rumour_ends_once_so_many_knew_it(talk: Talk, kind: str) -> None:
    said = said_by(OTHER, sequence=2) if kind == "status" else accusation(OTHER, THIRD)
    talk.take(said, 0)
    for _ in range(KNOWN[kind] - 1):
        talk.was_known(said.key)
    assert said in told(talk, key_of(4))
    talk.was_known(said.key)
    assert said not in told(talk, key_of(4))


def test_a_rumour_is_told_so_often_and_no_more(talk: Talk) -> None:
    said = said_by(OTHER, sequence=2)
    talk.take(said, 0)
    assert [said in told(talk) for _ in range(6)] == [True] * 5 + [False]
    assert talk.repeats == 2 + 3


# ------------------------------------------------------------------------------------------ what to say


def spoken(talk: Talk, now: int, **changes: object) -> list[int]:
    status = replace(status_of_node(OWN, running=20), **changes)  # type: ignore[arg-type]
    return [made.sequence for made in talk.due([status], now)]


def test_a_change_is_said_after_an_interval_and_nothing_after_five(talk: Talk) -> None:
    talk.begin(100)
    assert spoken(talk, 0) == [101]
    assert spoken(talk, 999, running=40) == []
    assert spoken(talk, 1_000, running=40) == [102]
    assert spoken(talk, 1_000 + 1_000 * QUIET - 1, running=40) == []
    assert spoken(talk, 1_000 + 1_000 * QUIET, running=40) == [103]


@pytest.mark.parametrize(
    ("changes", "matters"),
    [
        ({"running": 24}, False),
        ({"running": 27}, True),
        ({"room": 0}, True),
        ({"room": 7}, False),
        ({"queued": Tokens(1)}, True),
        ({"quantization": "fp8"}, True),
    ],
)
def test_what_is_a_change(talk: Talk, changes: dict[str, object], matters: bool) -> None:
    spoken(talk, 0)
    assert bool(spoken(talk, 1_000, **changes)) is matters


def test_that_there_is_no_room_any_more_is_a_change_and_that_there_is_again(talk: Talk) -> None:
    spoken(talk, 0, room=1)
    assert spoken(talk, 1_000, room=0)
    assert spoken(talk, 2_000, room=1)


def test_models_that_come_and_go_are_a_change_and_what_is_not_offered_is_not_said() -> None:
    talk = Talk(OWN.address)
    talk.learn(roster_of([offer_of(OWN), offer_of(OWN, model="n")], local=True))
    both: list[Status] = [status_of_node(OWN), status_of_node(OWN, model="n")]
    strange = status_of_node(OWN, model="another")
    assert [made.sequence for made in talk.due([*both, strange], 0)] == [1, 2]
    assert [made.sequence for made in talk.due(both[:1], 1_000)] == [3]
    assert talk.due([strange], 9_000) == []


def test_an_accusation_is_refuted_at_once_and_once(talk: Talk) -> None:
    (made,) = talk.due([status_of_node(OWN)], 5_000)
    talk.take(said_by(OWN, sequence=made.sequence), 5_000)
    talk.take(accusation(OTHER, OWN, made.sequence), 6_000)
    (refuting,) = talk.due([status_of_node(OWN)], 6_000)
    assert refuting.sequence == made.sequence + 1
    assert talk.due([status_of_node(OWN)], 7_000) == []


def test_one_s_own_word_of_before_is_gone_on_from(talk: Talk) -> None:
    talk.take(said_by(OWN, sequence=77), 0)
    assert talk.due([status_of_node(OWN)], 0)[0].sequence == 78
    talk.begin(5)  # A clock that was set back.
    assert talk.due([status_of_node(OWN, running=9)], 1_000)[0].sequence == 79


# ---------------------------------------------------------------------------------------- who is there


def test_what_is_known_of_those_who_left_is_forgotten() -> None:
    talk = among(4)
    talk.take(said_by(OTHER, sequence=2), 10_000)
    talk.answered(OTHER.address, 10_000)
    talk.take(accusation(OTHER, THIRD), 10_000)
    talk.learn(roster(OWN, THIRD, key_of(4)))
    assert talk.hearsay.sequence(OTHER.address) == -1
    assert not any(OTHER.address in said.key for said in told(talk, key_of(4), 10_000))

    talk.learn(roster(OWN, OTHER, THIRD, key_of(4)))
    assert talk.take(said_by(OTHER), 10_000)  # It may say the same again, at a pace of its own.
    for sequence in (2, 3, 4):
        assert talk.take(said_by(OTHER, sequence=sequence), 10_000)
    for accuser in (THIRD, key_of(4)):
        talk.take(accusation(accuser, OTHER, 4), 10_000)
    assert talk.is_suspected(OTHER.address, 10_000)  # That it answered once was before.


def test_who_offers_nothing_proves_nothing(talk: Talk) -> None:
    stranger = key_of(9)
    talk.answered(stranger.address, 10_000)
    talk.learn(roster(OWN, OTHER, THIRD, key_of(4), stranger))
    talk.take(said_by(stranger), 5_000)
    for accuser in (OTHER, THIRD):
        talk.take(accusation(accuser, stranger), 5_000)
    assert talk.is_suspected(stranger.address, 5_000)


def test_what_was_signed_with_a_key_that_was_replaced_is_not_passed_on(talk: Talk) -> None:
    talk.take(said_by(OTHER, sequence=2), 10_000)
    keys = [offer_of(key) for key in (OWN, THIRD, key_of(4))]
    talk.learn(roster_of([*keys, offer_of(OTHER, named=[key_of(8).address])], local=True))
    assert told(talk, now=10_000) == []
    assert talk.hearsay.status(OTHER.address, "m", offer_of(OTHER).offer_hash) is None
