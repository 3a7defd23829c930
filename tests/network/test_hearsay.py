"""Whose word is kept where there is room for a few: nobody's own figures decide that."""

import pytest

from tallystick.protocol.hearsay import ACCUSERS, DOUBT, RATED, RATINGS, Hearsay, Said, key_of
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
