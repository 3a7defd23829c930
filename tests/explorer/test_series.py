"""Hours without gaps, charts as paths, and a model's price folded from what was posted."""

from hypothesis import given
from hypothesis import strategies as st

from tallystick_node.explorer.charts import Curve, chart
from tallystick_node.explorer.prices import Posting, Withdrawal, steps
from tallystick_node.explorer.series import DAY, HOUR, Tally, filled

A, B = b"\x0a" * 20, b"\x0b" * 20
START = 100 * DAY


def posting(at: int, provider: bytes, price: int, *, sequence: int = 1, until: int = 10**6) -> Posting:
    return Posting(at, provider, sequence, 1, price, until)


def told(*args: object, now: int = 1_000) -> list[tuple[int, int, int, int]]:
    found = steps(
        [arg for arg in args if isinstance(arg, Posting)],
        [arg for arg in args if isinstance(arg, Withdrawal)],
        now,
    )
    return [(step.at, step.offers, step.lowest, step.median) for step in found]


def test_an_hour_in_which_nothing_came_is_zero_and_levels_go_on() -> None:
    rows = [Tally(at=START + HOUR, settled=7, settlements=1, settle_gas=9, locked=5, staked=3)]
    found = filled(rows, before=Tally(at=0, locked=1), start=START, end=START + 3 * HOUR, step=HOUR)
    assert [tally.settled for tally in found] == [0, 7, 0, 0]
    assert [tally.locked for tally in found] == [1, 5, 5, 5]
    assert [tally.gas_per_settlement for tally in found] == [0, 9, 0, 0]


def test_a_day_is_its_hours_sum_and_its_last_hour_s_level() -> None:
    rows = [Tally(at=START + hour * HOUR, settled=1, locked=hour) for hour in range(30)]
    found = filled(rows, before=None, start=START, end=START + 30 * HOUR, step=DAY)
    assert [(tally.settled, tally.locked) for tally in found] == [(24, 23), (6, 29)]


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 10**30)), unique_by=lambda row: row[0]))
def test_filling_loses_nothing(hours: list[tuple[int, int]]) -> None:
    rows = [Tally(at=START + hour * HOUR, settled=amount) for hour, amount in sorted(hours)]
    for step in (HOUR, DAY):
        found = filled(rows, before=None, start=START, end=START + 400 * HOUR, step=step)
        assert sum(tally.settled for tally in found) == sum(amount for _, amount in hours)
        assert [tally.at for tally in found] == list(range(START, START + 400 * HOUR + 1, step))


def test_a_chart_begins_at_zero_and_ends_at_its_greatest_value() -> None:
    drawn = chart([Curve("a", [(0, 0), (50, 10**24), (100, 5 * 10**23)])], start=0, end=100)
    assert drawn is not None
    assert drawn.top == 10**24
    assert drawn.curves[0].line == "M4.0 132.0L240.0 14.0L476.0 73.0"
    assert drawn.curves[0].area.endswith("V132.0H4.0Z")


def test_a_stepped_curve_keeps_its_value_from_before_the_start_until_the_end() -> None:
    drawn = chart([Curve("a", [(-10, 4), (50, 2)], stepped=True)], start=0, end=100)
    assert drawn is not None
    assert drawn.curves[0].line == "M4.0 14.0H240.0V73.0H476.0V73.0"


def test_nothing_is_drawn_of_nothing() -> None:
    assert chart([Curve("a", [])], start=0, end=100) is None
    assert chart([Curve("a", [(0, 1)])], start=0, end=0) is None


def test_all_zero_is_a_line_at_the_bottom() -> None:
    drawn = chart([Curve("a", [(0, 0), (100, 0)])], start=0, end=100)
    assert drawn is not None
    assert drawn.curves[0].line == "M4.0 132.0L476.0 132.0"


def test_the_price_is_that_of_each_provider_s_newest_offer() -> None:
    assert told(posting(1, A, 30), posting(2, B, 20), posting(3, A, 10)) == [
        (1, 1, 30, 30),
        (2, 2, 20, 20),
        (3, 2, 10, 10),
    ]


def test_an_offer_ends_by_itself_and_a_newer_one_that_ended_does_not_bring_it_back() -> None:
    assert told(posting(1, A, 30), posting(2, A, 10, until=5)) == [
        (1, 1, 30, 30),
        (2, 1, 10, 10),
        (5, 0, 0, 0),
    ]
    assert told(posting(1, A, 30, until=2_000)) == [(1, 1, 30, 30)]


def test_what_is_withdrawn_is_gone_and_what_is_signed_later_holds() -> None:
    withdrawn = Withdrawal(5, A, 2)
    assert told(posting(1, A, 30), withdrawn)[-1] == (5, 0, 0, 0)
    assert told(posting(1, A, 30, sequence=2), withdrawn) == [(1, 1, 30, 30)]


def test_what_changes_no_price_is_no_step() -> None:
    assert told(posting(1, A, 30), posting(2, A, 30), posting(2, B, 40)) == [(1, 1, 30, 30)]
