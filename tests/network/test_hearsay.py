"""What holds of all that is said, and whose word is kept where there is room for a few: nobody's own figures
decide that."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tallystick.protocol.hearsay import (
    ACCUSERS,
    DOUBT,
    DOUBT_MS,
    GRACE_MS,
    RATED,
    RATINGS,
    SILENT,
    SOON_MS,
    Hearsay,
    Said,
    interval_ms,
    key_of,
)
from tallystick.protocol.packed import pack
from tallystick.protocol.signed import Verified
from tallystick.protocol.status import Rating, Status, Suspicion
from tallystick.protocol.units import ZERO_HASH, Address
from tests.network.wired import key_of as signer
from tests.network.wired import status_of_node

PROVIDER = signer(1).address
HIGHEST = (1 << 63) - 2


@pytest.fixture
def hearsay() -> Hearsay:
    return Hearsay()


def named(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


def said(message: Status | Suspicion | Rating) -> Said:
    proof: Verified[Status] | Verified[Suspicion] | Verified[Rating] = Verified(  # type: ignore[assignment]
        message, bytes(65), named(0)
    )
    return Said(key_of(message, "m"), message.sequence, proof, pack(message))


def status(number: int, sequence: int, **changes: object) -> Said:
    return said(replace(status_of_node(signer(number), sequence=sequence), **changes))  # type: ignore[arg-type]


def rating(payer: int, sequence: int = 1) -> Said:
    return said(
        Rating(
            payer=named(payer),
            provider=PROVIDER,
            session_key=named(payer),
            epoch=0,
            sequence=sequence,
            ratio=1_000_000,
            count=20,
            receipt_hash=ZERO_HASH,
        )
    )


def accusation(accuser: Address, sequence: int) -> Said:
    return said(Suspicion(accuser=accuser, provider=PROVIDER, sequence=sequence))


def raters(hearsay: Hearsay) -> set[bytes]:
    return {heard.said.key[2] for heard in hearsay.rated(PROVIDER)}


def test_no_sequence_holds_a_place(hearsay: Hearsay) -> None:
    for payer in range(RATINGS):
        assert hearsay.take(rating(1_000 + payer, HIGHEST), 0)

    for payer in range(RATINGS):
        assert hearsay.take(rating(payer, 1), 1 + payer)
    assert raters(hearsay) == {named(payer) for payer in range(RATINGS)}


def test_a_few_payers_that_rate_all_the_time_have_a_place_each(hearsay: Hearsay) -> None:
    few, many = 5, RATINGS - 5
    for payer in range(many):
        hearsay.take(rating(payer), payer)
    for second in range(300):
        for payer in range(few):
            hearsay.take(rating(1_000 + payer, 10 + second), 1_000 * (1 + second))

    expected = {named(payer) for payer in range(many)} | {named(1_000 + payer) for payer in range(few)}
    assert raters(hearsay) == expected


def test_a_payer_s_next_rating_is_news_after_ten_intervals(hearsay: Hearsay) -> None:
    hearsay.take(rating(1, 1), 0)
    too_soon = RATED * hearsay.interval_ms - 1

    assert not hearsay.take(rating(1, 2), too_soon)
    assert hearsay.take(rating(1, 2), too_soon + 1)


def test_accusers_that_are_not_believed_keep_nobody_out(hearsay: Hearsay) -> None:
    doubted = [named((1 << 160) - 1 - number) for number in range(ACCUSERS)]
    for sequence in range(1, DOUBT + 2):
        hearsay.take(said(status_of_node(signer(1), sequence=sequence)), sequence)
        for accuser in doubted:
            assert hearsay.take(accusation(accuser, sequence), sequence)
    assert hearsay.suspected_at(PROVIDER, 10) is None

    for accuser in (named(1), named(2)):
        assert hearsay.take(accusation(accuser, DOUBT + 1), 10)
    assert {named(1), named(2)} < {heard.said.key[2] for heard in hearsay.suspicions(PROVIDER)}


def test_payers_heard_at_one_moment_take_no_place_of_one_another(hearsay: Hearsay) -> None:
    for payer in range(RATINGS):
        assert hearsay.take(rating(payer), 5)
    assert not hearsay.take(rating(99), 5)
    assert hearsay.take(rating(99), 6)


# ---------------------------------------------------------------------------------------- what is believed


def accused_wrongly(hearsay: Hearsay, times: int, *, start: int, lasting: int) -> int:
    """By 1, each time for so long: when the last one was refuted."""
    now = start
    for sequence in range(1, times + 1):
        hearsay.take(status(1, sequence), now)
        assert hearsay.take(accusation(named(1), sequence), now)
        now += lasting
    hearsay.take(status(1, times + 1), now)
    return now


@pytest.mark.parametrize(("lasting", "believed"), [(SOON_MS, False), (SOON_MS + 1, True)])
def test_an_accusation_that_stood_for_long_was_true(hearsay: Hearsay, lasting: int, believed: bool) -> None:
    hearsay.take(status(2, 1), 0)
    now = accused_wrongly(hearsay, DOUBT, start=0, lasting=lasting)
    hearsay.take(accusation(named(1), DOUBT + 1), now)
    assert (hearsay.suspected_at(PROVIDER, now) == now) is believed


@pytest.mark.parametrize("more", [0, 3])
def test_an_accuser_is_believed_again_a_minute_after_the_last_but_two(hearsay: Hearsay, more: int) -> None:
    hearsay.take(status(2, 1), 0)
    last = accused_wrongly(hearsay, DOUBT + more, start=0, lasting=1_000)
    hearsay.take(accusation(named(1), DOUBT + more + 1), last)
    first = last - 1_000 * (DOUBT - 1)
    assert hearsay.suspected_at(PROVIDER, first + DOUBT_MS) != last
    assert hearsay.suspected_at(PROVIDER, first + DOUBT_MS + 1) == last


def test_the_second_accuser_makes_it_suspected_and_three_seconds_later_gone(hearsay: Hearsay) -> None:
    for number in (1, 2, 3):
        hearsay.take(status(number, 1), 0)
    hearsay.take(accusation(named(2), 1), 1_000)
    assert hearsay.suspected_at(PROVIDER, 1_000) is None
    hearsay.take(accusation(named(3), 1), 2_000)
    assert hearsay.suspected_at(PROVIDER, 2_500) == 2_000
    assert not hearsay.is_gone(PROVIDER, 2_000 + GRACE_MS - 1)
    assert hearsay.is_gone(PROVIDER, 2_000 + GRACE_MS)


def test_where_nobody_else_is_there_one_accuser_is_enough(hearsay: Hearsay) -> None:
    for number in (1, 2):
        hearsay.take(status(number, 1), 0)
    hearsay.take(accusation(named(2), 1), 1_000)
    assert hearsay.suspected_at(PROVIDER, 1_000) == 1_000


def test_silence_counts_from_the_first_hearing_of_the_latest_word(hearsay: Hearsay) -> None:
    """That another text under the same sequence came later makes it no younger."""
    one, other = sorted((status(1, 5, running=running) for running in (1, 2)), key=lambda said: said.packed)
    assert hearsay.take(one, 0)
    assert hearsay.take(other, 4_000)
    assert hearsay.suspected_at(PROVIDER, 1_000 * SILENT - 1) is None
    assert hearsay.suspected_at(PROVIDER, 1_000 * SILENT) == 1_000 * SILENT


def test_of_two_texts_under_one_sequence_the_greater_holds(hearsay: Hearsay) -> None:
    one, other = sorted((status(1, 5, running=running) for running in (1, 2)), key=lambda said: said.packed)
    assert hearsay.take(other, 0)
    assert not hearsay.take(one, 0)
    assert hearsay.statuses(PROVIDER)[0].said is other


def test_an_accusation_of_what_was_never_said_is_none(hearsay: Hearsay) -> None:
    hearsay.take(status(1, 5), 0)
    assert [hearsay.take(accusation(named(2), sequence), 0) for sequence in (4, 6, 5)] == [False, False, True]


def test_a_status_is_of_the_offer_that_it_names(hearsay: Hearsay) -> None:
    held = status(1, 1)
    hearsay.take(held, 0)
    assert isinstance(held.proof.message, Status)
    assert hearsay.status(PROVIDER, "m", held.proof.message.offer_hash) is not None
    assert hearsay.status(PROVIDER, "m", ZERO_HASH) is None


# ------------------------------------------------------------------------------------------ what is kept


def test_what_is_of_nobody_any_more_is_forgotten(hearsay: Hearsay) -> None:
    offered: Mapping[Address, set[bytes]] = {signer(number).address: {b"m"} for number in (1, 2)}
    hearsay.take(status(2, 1), 0)
    now = accused_wrongly(hearsay, DOUBT, start=0, lasting=1)
    hearsay.take(rating(7), now)
    hearsay.take(accusation(signer(2).address, DOUBT + 1), now)
    assert len(hearsay) == 4

    hearsay.keep({PROVIDER: {b"another"}})
    assert [heard.said.key[0] for heard in hearsay] == ["rating", "suspicion"]
    assert (hearsay.sequence(signer(2).address), hearsay.known) == (-1, 0)

    hearsay.keep({})
    assert len(hearsay) == 0
    assert hearsay.suspected_at(PROVIDER, now + 10**9) is None
    hearsay.keep(offered)
    for number in (1, 2):
        assert hearsay.take(status(number, 1), now)
    hearsay.take(accusation(named(1), 1), now)  # Who was in doubt left, and is new.
    assert hearsay.suspected_at(PROVIDER, now) == now


def test_what_a_key_of_before_signed_is_forgotten_but_for_what_payers_say(hearsay: Hearsay) -> None:
    """All that `said` makes is signed by nobody."""
    for message in (
        status(1, 1),
        rating(7),
        accusation(signer(2).address, 1),
        accusation(signer(3).address, 1),
    ):
        hearsay.take(message, 0)
    keys = {PROVIDER: named(0), signer(2).address: named(0), signer(3).address: named(5)}
    hearsay.keep_signed(keys.get)
    assert {heard.said.key[::2] for heard in hearsay} == {
        ("status", b"m"),
        ("rating", named(7)),
        ("suspicion", signer(2).address),
    }


def test_the_interval_grows_with_the_network_as_far_as_it_is_known(hearsay: Hearsay) -> None:
    assert [interval_ms(known) for known in (0, 64, 65, 128)] == [1_000, 1_000, 1_015, 2_000]
    hearsay.is_part_of(128)
    assert hearsay.interval_ms == 2_000
    hearsay.is_part_of(0)
    for number in range(65):
        hearsay.take(status(number, 1), 0)
    assert (hearsay.known, hearsay.interval_ms) == (65, 1_015)
    hearsay.keep({signer(number).address: {b"m"} for number in range(10)})
    assert (hearsay.known, hearsay.interval_ms) == (10, 1_000)
