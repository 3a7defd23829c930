"""What payers say of time: every form is read as it was written, and one rule says what they tolerate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocol.errors import MalformedMessage
from tallystick.protocol.expect import (
    EXPECT_LIMIT,
    MICROSECONDS_LIMIT,
    TOKENS_LIMIT,
    Expected,
    Inquiry,
    Redeemed,
    Size,
    expect_text,
    microseconds_up,
    read_expect,
)
from tallystick.protocol.quote import Quote
from tallystick.protocol.signed import Signed
from tallystick.protocol.speed import Pace
from tallystick.protocol.units import Hash32
from tallystick.protocol.wire import quote_text, read_quote_text

tokens = st.integers(0, TOKENS_LIMIT - 1)
sizes = st.builds(Size, input_tokens=tokens, output_tokens=tokens)
seconds = st.integers(0, MICROSECONDS_LIMIT - 1).map(lambda us: us / 1e6)
short = st.floats(0, 1e4)
paces = st.builds(Pace, short, short)


@given(sizes, seconds, seconds)
def test_expectations_survive_the_header(size, first, token):
    said = Expected(size=size, pace=Pace(first, token))
    text = expect_text(said)
    back = read_expect(text)

    assert len(text) <= EXPECT_LIMIT
    assert back.size == size
    assert back.pace.first_s == pytest.approx(first, abs=2e-6)
    assert back.pace.token_s == pytest.approx(token, abs=2e-6)


@given(st.from_type(Hash32))
def test_redeemed_quotes_survive_the_header(quote):
    assert read_expect(expect_text(Redeemed(quote))) == Redeemed(quote)


@given(st.from_type(Hash32), sizes)
def test_inquiries_survive_json(offer_hash, size):
    asked = Inquiry(offer_hash=offer_hash, size=size)

    assert Inquiry.from_json(asked.to_json()) == asked


@given(st.builds(Signed, st.from_type(Quote), st.binary(min_size=64, max_size=65)))
def test_quotes_survive_the_header(quote):
    assert read_quote_text(quote_text(quote)) == quote
    assert quote_text(quote).isascii()


@given(short)
def test_no_microsecond_is_lost(value):
    assert microseconds_up(value) >= value * 1e6
    assert microseconds_up(value) < value * 1e6 + 1.001


@given(sizes, paces, paces)
def test_what_is_expected_is_tolerated_and_anything_faster(size, pace, other):
    expected = Expected(size=size, pace=pace)

    assert expected.tolerates(pace)
    if expected.tolerates(other):
        assert expected.tolerates(Pace(other.first_s / 2, other.token_s / 2))


def test_half_as_much_again_and_three_tenths_of_a_second_are_tolerated():
    expected = Expected(size=Size(input_tokens=1, output_tokens=101), pace=Pace(1.0, 0.01))

    assert expected.tolerates(Pace(3.3, 0))
    assert not expected.tolerates(Pace(3.301, 0))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "quote=0x00",
        "first-us=1, token-us=1, input=1",
        "first-us=-1, token-us=1, input=1, output=1",
        "first-us=01, token-us=1, input=1, output=1",
        "first-us=1.5, token-us=1, input=1, output=1",
        "first-us=1, token-us=1, input=1, output=4294967296",
        "first-us=1125899906842624, token-us=1, input=1, output=1",
        "first-us=1, token-us=1, input=1, output=1, quote=0x" + "00" * 32,
        "first-us=1,  token-us=1, input=1, output=1",
        "first-us=١, token-us=1, input=1, output=1",
        "first-us=" + "1" * 200,
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(MalformedMessage):
        read_expect(text)
