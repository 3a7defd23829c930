"""What is heard of others, and when: never at once, and never from nobody."""

from dataclasses import replace

import pytest

from tallystick.protocol.hearsay import RATED
from tallystick.protocol.status import Rating, Status
from tallystick.protocol.units import ZERO_HASH, Address, Tokens
from tallystick_node.sim.hardware import hardware
from tallystick_node.sim.news import Hearing, News

HEARING = Hearing(soonest_s=1.0, latest_s=3.0, silent_s=4.0)
STATUS = Status(
    provider=Address(bytes(20)),
    offer_hash=ZERO_HASH,
    sequence=0,
    room=4,
    running=0,
    waiting=0,
    context=Tokens(0),
    queued=Tokens(0),
    parameters=0,
    quantization="",
    speed=hardware("Qwen3-8B", "A100").speed,
)


@pytest.mark.parametrize("count", [12, 100])
def test_others_hear_it_after_the_lag_of_their_pair_and_not_before(count: int) -> None:
    """Few or many: the lags of few are kept."""
    news = News(count, count, HEARING, seed=1)
    news.tell(0, STATUS, 10.0)
    news.tell(0, replace(STATUS, running=3), 20.0)
    lags = []
    for by in range(1, 12):
        assert news.heard(by, 0, 10.99) is None
        told = news.heard(by, 0, 20.99)
        assert told is not None
        assert told.status.running == 0
        steps = (i / 100 for i in range(100, 301))
        lags.append(next(after for after in steps if _running(news, by, 20 + after) == 3))
    assert all(1.0 <= lag <= 3.0 for lag in lags)
    assert max(lags) - min(lags) > 1.0
    assert _running(news, 0, 20.0) == 3  # It knows of itself.


def _running(news: News, by: int, now: float) -> int:
    told = news.heard(by, 0, now)
    assert told is not None
    return told.status.running


def test_by_default_news_are_old() -> None:
    news = News(12, 12, Hearing(), seed=1)
    news.tell(0, STATUS, 10.0)
    assert all(news.heard(by, 0, 10.29) is None for by in range(1, 12))
    assert any(news.heard(by, 0, 11.2) is None for by in range(1, 12))
    assert all(news.heard(by, 0, 12.0) is not None for by in range(1, 12))


def test_who_dies_is_suspected_after_a_while() -> None:
    news = News(12, 12, HEARING, seed=1)
    news.died(0, 10.0)
    assert [news.is_suspected(5, 0, now) for now in (13.9, 14.0)] == [False, True]
    assert not news.is_suspected(5, 1, 1e9)


def test_what_payers_say_of_a_provider_is_heard_and_what_they_say_soon_after_is_not() -> None:
    news = News(12, 12, HEARING, seed=1)
    for by in (1, 2, 3):
        news.rate(0, by, _rating(by, 4_000_000), 10.0)
    assert news.ratio(5, 0) > 2
    assert [news.ratio(5, index) for index in range(1, 12)] == [1.0] * 11
    news.rate(0, 1, _rating(1, 1_000_000), 10.0 + 0.9 * RATED * news.interval_s)
    assert news.ratio(5, 0) > 2
    news.rate(0, 1, _rating(1, 1_000_000), 10.0 + 1.1 * RATED * news.interval_s)
    assert news.ratio(5, 0) == 1.0


def _rating(by: int, ratio: int) -> Rating:
    """`ratio`: in millionths."""
    return Rating(
        payer=Address(by.to_bytes(20, "big")),
        provider=STATUS.provider,
        session_key=Address(by.to_bytes(20, "big")),
        epoch=0,
        sequence=0,
        ratio=ratio,
        count=50,
        receipt_hash=ZERO_HASH,
    )
