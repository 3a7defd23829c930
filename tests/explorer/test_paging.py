"""Lists by key: a key is what a page ended with, and whatever else comes is refused before a query."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick_node.explorer.errors import Malformed
from tallystick_node.explorer.paging import Cut
from tallystick_node.explorer.schema import accounts, channels, settlements

BY_PLACE = settlements.c.block, settlements.c.log_index
BY_AMOUNT = accounts.c.paid, accounts.c.address
BY_ID = channels.c.opened_block, channels.c.channel_id
ADDRESS = "0x" + "11" * 20


def values(cut: Cut, *columns: Any) -> set[Any]:
    (clause,) = cut.below(*columns)
    return set(clause.compile().params.values())


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**31 - 1))
def test_what_a_page_ended_with_begins_the_next(block: int, index: int) -> None:
    listing = Cut(limit=1).listing(["a", "b"], lambda _: (block, index))
    assert listing.rows == ("a",)
    assert values(Cut(listing.older), *BY_PLACE) == {block, index}


@given(st.integers(0, 2**128 - 1), st.binary(min_size=20, max_size=20))
def test_amounts_and_bytes_are_keys_too(amount: int, address: bytes) -> None:
    listing = Cut(limit=1).listing(["a", "b"], lambda _: (amount, address))
    assert values(Cut(listing.older), *BY_AMOUNT) == {amount, address}


def test_the_last_page_goes_on_nowhere() -> None:
    assert Cut(limit=2).listing(["a", "b"], lambda _: (1, 1)).older is None
    assert Cut().below(*BY_PLACE) == ()


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        *((BY_PLACE, text) for text in ("x", "1", "1-", "-1", "1-2-3", "1--2", "٣-1", "1-0x00", "9" * 300)),
        (BY_PLACE, f"{2**63}-0"),
        (BY_PLACE, f"0-{2**31}"),
        (BY_AMOUNT, f"{2**128}-{ADDRESS}"),
        (BY_AMOUNT, "1-2"),
        (BY_AMOUNT, "1-0x11"),
        (BY_AMOUNT, "1-" + "11" * 20),
        (BY_ID, f"1-{ADDRESS}"),
    ],
)
def test_what_is_no_key_of_the_list_is_refused(columns: Any, text: str) -> None:
    with pytest.raises(Malformed):
        Cut(text).below(*columns)
