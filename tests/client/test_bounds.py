"""What an opinion may cost follows from what is usual, not from what its seller asks; nor does anybody keep
others from being judged by what it offers."""

from dataclasses import replace

from tallystick.client.bounds import OPINION_PARTS, bound, is_readable
from tallystick.ports import PostedOffer
from tallystick.protocol.units import Address, Atoms, Tokens
from tests.client.test_purse import POSTED


def usual(looked_at: list[int], listed: list[int]) -> float:
    return bound([Atoms(one) for one in looked_at], [Atoms(one) for one in listed]) / OPINION_PARTS


def test_it_is_what_the_dearer_of_those_looked_at_would_cost() -> None:
    assert usual([3, 5], [3, 5]) == 5
    assert usual([3], []) == 3


def test_an_absurd_offer_moves_it_by_nothing() -> None:
    assert usual([3, 5], [3, 5, 10**9]) == usual([3, 5], [3, 5, 5]) == 5
    assert usual([3], [3, 10**9]) == 3


def test_who_sells_for_nothing_is_judged_all_the_same() -> None:
    assert usual([0], [0, 4, 5]) == 4


# ----------------------------------------------------------------------------------------- whether it is read

ANSWER = ("word " * 1_000, Tokens(1_000))


def seller(number: int, *, context: int, staked: int = 10) -> PostedOffer:
    provider = Address(bytes([number]) * 20)
    offer = replace(POSTED.offer, provider=provider, context_length=Tokens(context))
    return replace(POSTED, offer=offer, stake=replace(POSTED.stake, provider=provider, staked=Atoms(staked)))


def test_a_judge_s_context_holds_question_and_answers_and_what_is_said_beside() -> None:
    assert is_readable([ANSWER] * 3, [seller(1, context=3_300)])
    assert not is_readable([ANSWER] * 3, [seller(1, context=3_100)])
    lines = ("word\n" * 1_000, Tokens(1_000))
    assert not is_readable([ANSWER, ANSWER, lines], [seller(1, context=3_300)])


def test_long_thoughts_before_an_answer_are_read_by_nobody() -> None:
    assert is_readable([ANSWER, ("Yes.", Tokens(9_000)), ("No.", Tokens(9_000))], [seller(1, context=1_300)])


def test_small_offers_with_little_behind_them_keep_nobody_from_judging() -> None:
    roomy, narrow = seller(1, context=9_000), [seller(one, context=1, staked=1) for one in range(2, 11)]
    assert is_readable([ANSWER] * 3, [roomy, *narrow])
    assert is_readable(
        [ANSWER] * 3, [roomy, replace(roomy, offer=replace(roomy.offer, context_length=Tokens(1)))]
    )
    assert not is_readable([ANSWER] * 3, [roomy, seller(2, context=1, staked=11)])
