"""One figure from many payers' ratings, which none of them moves alone."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocol.rating import HIGHEST, LOWEST, agreed, clipped
from tallystick.protocol.status import Rating
from tallystick.protocol.units import Address, Hash32

MILLION = 1_000_000


def rating(payer: int, ratio: float, count: int = 50, channel: int = 0) -> Rating:
    return Rating(
        payer=Address(payer.to_bytes(20, "big")),
        provider=Address(b"\1" * 20),
        session_key=Address(channel.to_bytes(20, "big")),
        epoch=0,
        sequence=0,
        ratio=int(ratio * MILLION),
        count=count,
        receipt_hash=Hash32(bytes(32)),
    )


_ratios = st.floats(0, 1_000)
_counts = st.integers(0, 2**64 - 1)
_ratings = st.lists(st.builds(rating, st.integers(1, 9), _ratios, _counts), max_size=30)


def test_nothing_known_is_a_promise_kept() -> None:
    assert agreed([]) == 1


def test_what_payers_agree_on_holds() -> None:
    assert 3.8 < agreed(rating(payer, 4) for payer in range(1, 6)) <= 4


def test_few_answers_say_less() -> None:
    many, few = (agreed(rating(payer, 9, count) for payer in range(1, 6)) for count in (50, 1))
    assert 2.9 < few < 3.1
    assert few < many


def test_one_payer_alone_says_nothing() -> None:
    assert agreed(rating(1, 20, 10**9, channel) for channel in range(99)) == 1


@given(_ratings)
def test_it_stays_within_bounds(ratings: list[Rating]) -> None:
    assert LOWEST - 1e-9 <= agreed(ratings) <= HIGHEST + 1e-9


@given(_ratings, st.randoms(use_true_random=False))
def test_the_order_of_ratings_means_nothing(ratings: list[Rating], random: Random) -> None:
    turned = random.sample(ratings, len(ratings))
    assert abs(agreed(ratings) - agreed(turned)) < 1e-9


@given(_ratings, _ratios, st.integers(1, 99), _counts)
def test_no_payer_leads_it_past_what_others_found(
    others: list[Rating], ratio: float, channels: int, count: int
) -> None:
    """Whatever one payer says, over however many channels."""
    mine = [rating(99, ratio, count, channel) for channel in range(channels)]
    found = [1.0, *(clipped(r.ratio / MILLION) for r in others)]
    assert min(found) - 1e-9 <= agreed([*others, *mine]) <= max(found) + 1e-9
