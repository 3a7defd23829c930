"""Where a curve falls below what is asked of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_node.sim.capacity import Curve


@given(st.floats(1.5, 90_000), st.floats(0.5, 30), st.floats(0.2, 0.99))
def test_it_is_where_the_curve_crosses(full: float, steep: float, least: float) -> None:
    """Flat at one, then falling by a power of the rate."""
    curve = Curve(lambda rate: min(1.0, (full / rate) ** steep))
    found = curve.capacity(least, guess=20.0, low=1.0, high=1e6)
    assert found == pytest.approx(min(1e6, full * least ** (-1 / steep)), rel=0.04)


def test_two_questions_share_their_answers() -> None:
    asked: list[float] = []

    def attained(rate: float) -> float:
        asked.append(rate)
        return 1.0 if rate < 30 else 1 - (rate - 30) / 100

    curve = Curve(attained)
    assert curve.capacity(0.95, guess=20.0, low=1.0, high=1e6) == pytest.approx(35, rel=0.03)
    assert curve.capacity(0.99, guess=20.0, low=1.0, high=1e6) == pytest.approx(31, rel=0.03)
    assert len(asked) == len(set(asked)) < 12


@pytest.mark.parametrize(("part", "found"), [(0.0, 0.0), (1.0, 50.0)])
def test_outside_its_bounds_nothing_is_looked_for(part: float, found: float) -> None:
    assert Curve(lambda _: part).capacity(0.5, guess=20.0, low=2.0, high=50.0) == found
