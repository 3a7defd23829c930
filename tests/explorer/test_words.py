"""How values are written for people: never more than there is, and a stranger's words as words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from tallystick.chain.market import Asset
from tallystick_node.explorer.words import decimal, filters, span, time_, visible, words

FILTERS = filters(Asset(symbol="TUSD", decimals=6))


@pytest.mark.parametrize(
    ("atoms", "decimals", "text"),
    [
        (0, 6, "0.00"),
        (1, 6, "0.000001"),
        (1_500_000, 6, "1.50"),
        (1_234_567_891_234, 6, "1,234,567.891234"),
        (1, 18, "<0.000001"),
        (10**18 + 1, 18, "1.00"),
        (7, 0, "7"),
        (12, 1, "1.2"),
    ],
)
def test_an_amount_has_its_decimals(atoms: int, decimals: int, text: str) -> None:
    assert decimal(atoms, decimals) == text


@given(st.integers(0, 2**128), st.integers(0, 18))
def test_no_amount_is_written_as_more_than_it_is(atoms: int, decimals: int) -> None:
    for text in (decimal(atoms, decimals), decimal(atoms, decimals, least=6)):
        whole, _, fraction = text.removeprefix("<").replace(",", "").partition(".")
        written = int(whole + fraction) * 10**decimals // 10 ** len(fraction)
        assert written <= atoms or text.startswith("<")


@given(st.integers(0, 2**128))
def test_the_title_has_every_atom(atoms: int) -> None:
    for name in ("atoms", "headline"):
        assert f'title="{atoms:,} atoms"' in FILTERS[name](atoms)


@given(st.text())
def test_a_stranger_s_words_are_text_and_turn_no_direction(text: str) -> None:
    shown = words(text, 10_000)
    assert shown.startswith('<bdi class="words" title="')
    assert "<" not in shown.removeprefix("<bdi").removesuffix("</bdi>")
    assert not any(mark in shown for mark in "\u202a\u202b\u202d\u202e\u202c\u2066\u2067\u2068\u2069\n\r\0")
    assert escape(visible(text)) in shown


def test_what_is_long_is_cut_and_whole_in_the_title() -> None:
    assert words("a" * 100, 10) == f'<bdi class="words" title="{"a" * 100}">{"a" * 9}…</bdi>'


@pytest.mark.parametrize("seconds", [2**64 - 1, 10**12])
def test_a_time_beyond_the_calendar_is_never(seconds: int) -> None:
    assert ">never<" in time_(seconds)
    assert ">never<" in FILTERS["date"](seconds)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (200_000, "2 days")]
)
def test_a_span_is_rounded_down(seconds: int, text: str) -> None:
    assert span(seconds) == text
