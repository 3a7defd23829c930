"""Amounts as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.chain.market import Asset
from tallystick.wallet.money import (
    LIMIT,
    AmountError,
    decimal,
    read_amount,
    show_amount,
    show_briefly,
    show_coins,
    show_exactly,
)

TUSD = Asset(symbol="TUSD", decimals=6)
ASSETS = st.builds(
    Asset, symbol=st.from_regex(r"[A-Z][A-Z0-9]{1,7}", fullmatch=True), decimals=st.integers(0, 18)
).filter(lambda asset: asset.symbol not in ("ATOM", "ATOMS"))
AMOUNTS = st.integers(0, LIMIT - 1)


@given(AMOUNTS, ASSETS)
def test_what_is_shown_reads_back_to_the_atom(atoms: int, asset: Asset) -> None:
    assert read_amount(show_amount(atoms, asset), asset) == atoms
    assert read_amount(str(atoms), asset) == atoms
    assert read_amount(f"{atoms} atoms", asset) == atoms


@given(AMOUNTS, st.integers(0, 20))
def test_a_decimal_is_the_integer_with_a_point(number: int, digits: int) -> None:
    text = decimal(number, digits)
    assert int(text.replace(".", "")) == number
    assert len(text.partition(".")[2]) == digits


@given(st.text(max_size=30))
def test_any_text_is_an_amount_or_an_error_that_says_how_to_write_one(text: str) -> None:
    atoms, sentence = 0, "."
    try:
        atoms = read_amount(text, TUSD)
    except AmountError as error:
        sentence = str(error)
    assert 0 <= atoms < LIMIT
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("text", "atoms"),
    [
        ("0", 0),
        ("1500000", 1_500_000),
        ("1_500_000", 1_500_000),
        ("1atom", 1),
        ("25 Atoms", 25),
        ("1.5tusd", 1_500_000),
        ("1.5 TUSD", 1_500_000),
        (" 2 tUsD ", 2_000_000),
        ("0.000001tusd", 1),
        ("1_000.25tusd", 1_000_250_000),
    ],
)
def test_an_amount_is_read(text: str, atoms: int) -> None:
    assert read_amount(text, TUSD) == atoms


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1.5", "no whole number of atoms"),
        ("1.0", "no whole number of atoms"),
        ("1.5atoms", "no whole number of atoms"),
        ("0.0000001tusd", "more than the 6 decimals"),
        ("1 usdc", "another unit than this market's TUSD"),
        ("-1", "is no amount"),
        ("1e6", "another unit"),
        (".5tusd", "is no amount"),
        ("5.tusd", "is no amount"),
        ("", "is no amount"),
        ("1,5tusd", "is no amount"),
        ("0x10", "another unit"),
        ("٣", "is no amount"),
        (str(LIMIT), "more than the market's contract can hold"),
        ("99999999999999999999999tusd", "more than the market's contract can hold"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(AmountError, match=why):
        read_amount(text, TUSD)


def test_an_asset_without_decimals_has_no_point() -> None:
    whole = Asset(symbol="SHELL", decimals=0)
    assert show_amount(7, whole) == "7 SHELL"
    assert read_amount("7 shell", whole) == 7


def test_it_shows_units_and_atoms() -> None:
    assert show_exactly(1_500_000, TUSD) == "1.500000 TUSD (1500000 atoms)"
    assert show_coins(1_250_000_000_000_000) == "0.00125 ETH"
    assert show_coins(0) == "0 ETH"
    assert show_coins(1) == "0.000000001 ETH"  # Rounded up.
    assert show_briefly(1_500_000, TUSD) == "1.5"
    assert show_briefly(10_000_000, TUSD) == "10"
