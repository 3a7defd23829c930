"""What a settlement may cost: nothing is lost to a deadline that could be kept, nothing is paid in vain."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.protocol.units import Atoms, ChannelId, Timestamp
from tallystick_node.gateway.settling import (
    NEARLY,
    ROW_GAS,
    ROWS,
    SETTLE_GAS,
    Plan,
    Position,
    SettlePolicy,
    Wait,
    due,
    plan,
)

NOW = Timestamp(1_000_000)
HOUR = 3600
GWEI = 10**9
SNAPSHOT = Path(__file__).parents[2] / "contracts/snapshots/transactions.json"
POLICY = SettlePolicy(
    amount=Atoms(10_000),
    interval_s=900,
    minimum=Atoms(10),
    coin_price=Atoms(3_000_000_000),  # 3,000 dollars.
    gas_share=50,
    closing_margin_s=1800,
)
numbers = st.integers(0, 255)


def position(
    number: int, unsettled: int, *, closes_in: int | None = None, since: int = 0, lost: bool = False
) -> Position:
    return Position(
        channel_id=ChannelId(bytes([*number.to_bytes(2, "big"), *bytes(30)])),
        acknowledged=Atoms(unsettled + 77),
        settled=Atoms(77),
        since=Timestamp(since),
        closing=lost or closes_in is not None,
        closes_at=Timestamp(0 if closes_in is None else NOW + closes_in),
        lost=lost,
    )


@st.composite
def positions(draw: st.DrawFn) -> list[Position]:
    count = draw(st.integers(0, 12))
    return [
        position(
            number,
            draw(st.one_of(st.integers(0, 200), st.integers(0, 10**8))),
            closes_in=draw(st.none() | st.integers(1, 2 * HOUR)),
            since=draw(st.sampled_from([0, NOW - 600, NOW])),
            lost=draw(st.booleans()),
        )
        for number in range(count)
    ]


prices = st.one_of(st.integers(0, 10**9), st.integers(0, 10**13))
policies = st.builds(
    lambda coin_price, share: replace(POLICY, coin_price=Atoms(coin_price), gas_share=share),
    st.one_of(st.integers(1, 10**6), st.integers(1, 10**10)),
    st.integers(1, 1000),
)


def made(items: list[Position], policy: SettlePolicy, price: int, *, leaving: bool = False) -> Plan:
    return plan(items, policy, gas_price=price, now=NOW, leaving=leaving)


def costs(rows: int, price: int, policy: SettlePolicy) -> int:
    """A thousandth of an atom's 10¹⁸th, so that nothing is rounded."""
    return (SETTLE_GAS + rows * ROW_GAS) * price * policy.coin_price * 1000


def brings(planned: Plan, items: list[Position]) -> int:
    return sum(item.unsettled for item in items if item.channel_id in planned.rows)


def riders(planned: Plan, items: list[Position]) -> set[ChannelId]:
    """Of its rows those that nothing but company is a reason for."""
    wanted = {item.channel_id for item in due(items, POLICY, now=NOW)}
    return set(planned.rows) - wanted


def presses(item: Position, policy: SettlePolicy) -> bool:
    return item.closes_at != 0 and item.closes_at - policy.closing_margin_s <= NOW


def test_the_gas_is_the_contract_s() -> None:
    snapshot = json.loads(SNAPSHOT.read_text())
    measured = {
        1: int(snapshot["settle 1 row"]),
        10: 10 * int(snapshot["settle 10 rows, each"]),
        100: 100 * int(snapshot["settle 100 rows, each"]),
    }
    for rows, gas in measured.items():
        assert gas <= SETTLE_GAS + rows * ROW_GAS <= gas * 105 // 100


@given(positions(), prices)
def test_without_a_price_what_is_due_is_settled(items: list[Position], price: int) -> None:
    policy = replace(POLICY, coin_price=Atoms(0))
    planned = made(items, policy, price)
    assert set(planned.rows) - riders(planned, items) == {
        item.channel_id for item in due(items, policy, now=NOW)
    }
    assert planned.highest_gas_price is None
    assert not planned.waiting


@given(positions(), policies, prices, st.booleans())
def test_what_is_due_is_settled_or_said_to_wait(
    items: list[Position], policy: SettlePolicy, price: int, leaving: bool
) -> None:
    planned = made(items, policy, price, leaving=leaving)
    wanted = {item.channel_id for item in due(items, policy, now=NOW, leaving=leaving)}
    assert set(planned.waiting) <= wanted <= set(planned.rows) | set(planned.waiting)
    assert not set(planned.rows) & set(planned.waiting)
    assert not leaving or set(planned.rows) <= wanted


@given(positions(), policies, prices, st.booleans())
def test_who_rides_along_changes_nothing_for_those_that_are_due(
    items: list[Position], policy: SettlePolicy, price: int, leaving: bool
) -> None:
    planned = made(items, policy, price, leaving=leaving)
    alone = made(due(items, policy, now=NOW, leaving=leaving), policy, price, leaving=leaving)
    riding = len(planned.rows) - len(alone.rows)
    assert planned.rows[: len(alone.rows)] == alone.rows
    assert (planned.pressing, planned.waiting) == (alone.pressing, alone.waiting)
    assert not riding or alone.rows
    if planned.highest_gas_price is not None:
        assert price <= planned.highest_gas_price <= (alone.highest_gas_price or 0)


@given(positions(), policies, prices)
def test_only_what_is_nearly_due_and_worth_its_row_rides_along(
    items: list[Position], policy: SettlePolicy, price: int
) -> None:
    planned = made(items, policy, price)
    for item in items:
        if item.channel_id in riders(planned, items):
            waited = 1000 * (NOW - item.since) >= NEARLY * policy.interval_s
            assert 1000 * item.unsettled >= NEARLY * policy.minimum
            assert waited or 1000 * item.unsettled >= NEARLY * policy.amount
            assert ROW_GAS * price * policy.coin_price * 1000 <= policy.gas_share * item.unsettled * 10**18


@given(positions(), policies, prices, st.booleans())
def test_gas_never_takes_all_that_a_settlement_brings(
    items: list[Position], policy: SettlePolicy, price: int, leaving: bool
) -> None:
    planned = made(items, policy, price, leaving=leaving)
    if planned.rows:
        assert costs(len(planned.rows), price, policy) < brings(planned, items) * 1000 * 10**18
        assert planned.highest_gas_price is not None
        assert planned.highest_gas_price >= price


@given(positions(), policies, prices)
def test_while_nothing_presses_gas_takes_its_share_at_most(
    items: list[Position], policy: SettlePolicy, price: int
) -> None:
    """Nothing has a deadline, and nobody waits for it."""
    planned = made([replace(item, lost=False) for item in items], policy, price)
    if planned.rows and not planned.pressing:
        assert costs(len(planned.rows), price, policy) <= brings(planned, items) * policy.gas_share * 10**18
        most = planned.highest_gas_price
        assert most is not None
        assert costs(len(planned.rows), most, policy) <= brings(planned, items) * policy.gas_share * 10**18


@given(positions(), policies, prices)
def test_no_deadline_passes_that_was_worth_keeping(
    items: list[Position], policy: SettlePolicy, price: int
) -> None:
    """If those that press bring more than they cost, all of them that are worth their own row go."""
    row = -(-ROW_GAS * price * policy.coin_price // 10**18)
    worth = [item for item in items if presses(item, policy) and item.unsettled > row]
    if costs(len(worth), price, policy) < sum(item.unsettled for item in worth) * 1000 * 10**18:
        assert {item.channel_id for item in worth} <= set(made(items, policy, price).rows)


@given(positions(), policies, prices, prices)
def test_cheaper_gas_settles_no_less(
    items: list[Position], policy: SettlePolicy, one: int, other: int
) -> None:
    cheap, dear = made(items, policy, min(one, other)), made(items, policy, max(one, other))
    assert set(dear.rows) <= set(cheap.rows)


@given(st.integers(ROWS + 1, ROWS + 50), st.integers(1, 5))
def test_a_settlement_has_room_for_those_that_press_first(count: int, pressing: int) -> None:
    items = [position(number, 10**7) for number in range(count)]
    items += [position(count + number, 20, closes_in=60) for number in range(pressing)]
    planned = made(items, POLICY, 1)
    assert len(planned.rows) == ROWS
    assert {item.channel_id for item in items[-pressing:]} <= set(planned.rows)
    assert set(planned.waiting.values()) == {Wait.NEXT}


DOLLAR = 1_000_000
AT_30_GWEI = (SETTLE_GAS + ROW_GAS) * 30 * GWEI * 3_000 * DOLLAR // 10**18
"""Atoms that a settlement of one row costs: four dollars."""


@pytest.mark.parametrize(
    ("item", "gwei", "leaving", "reason"),
    [
        (position(0, 100 * DOLLAR), 30, False, None),
        (position(0, 20 * AT_30_GWEI + 20), 30, False, None),
        (position(0, 20 * AT_30_GWEI - 20), 30, False, Wait.GAS_PRICE),
        (position(0, 100 * DOLLAR), 300, False, Wait.GAS_PRICE),
        (position(0, 100 * DOLLAR, closes_in=HOUR), 300, False, Wait.GAS_PRICE),
        (position(0, 100 * DOLLAR, closes_in=1800), 300, False, None),
        (position(0, 100 * DOLLAR, closes_in=1800), 3000, False, Wait.WORTHLESS),
        (position(0, 100 * DOLLAR, closes_in=HOUR), 300, True, None),
        (position(0, 100 * DOLLAR), 300, True, Wait.GAS_PRICE),
        (position(0, 100 * DOLLAR), 30, True, None),
        (position(0, AT_30_GWEI + 10, closes_in=60), 30, False, None),
        (position(0, AT_30_GWEI - 10, closes_in=60), 30, False, Wait.WORTHLESS),
        (position(0, AT_30_GWEI - 10, since=NOW - 899, lost=True), 30, False, Wait.GAS_PRICE),
        (position(0, AT_30_GWEI - 10, since=NOW - 900, lost=True), 30, False, Wait.WORTHLESS),
        (position(0, AT_30_GWEI + 10, since=NOW - 899, lost=True), 30, False, Wait.GAS_PRICE),
        (position(0, AT_30_GWEI + 10, since=NOW - 900, lost=True), 30, False, None),
    ],
)
def test_in_dollars(item: Position, gwei: int, leaving: bool, reason: Wait | None) -> None:
    planned = made([item], POLICY, gwei * GWEI, leaving=leaving)
    assert dict(planned.waiting) == ({} if reason is None else {item.channel_id: reason})
    assert bool(planned.rows) is (reason is None)


def test_what_somebody_waits_for_has_no_deadline() -> None:
    """It takes no other transaction's place."""
    assert not made([position(0, 100 * DOLLAR, lost=True)], POLICY, 300 * GWEI).pressing


def test_a_patient_row_rides_along_where_the_journey_is_paid() -> None:
    pressing = position(0, 100 * DOLLAR, closes_in=60)
    patient = position(1, 30 * DOLLAR)
    assert made([patient], POLICY, 30 * GWEI).waiting == {patient.channel_id: Wait.GAS_PRICE}
    assert len(made([patient, pressing], POLICY, 30 * GWEI).rows) == 2


@pytest.mark.parametrize(
    ("item", "rides"),
    [
        (position(1, 10, since=NOW - 540), True),
        (position(1, 10, since=NOW - 539), False),
        (position(1, 6, since=0), True),
        (position(1, 5, since=0), False),
        (position(1, 6_000, since=NOW), True),
        (position(1, 5_999, since=NOW), False),
    ],
)
def test_three_fifths_of_the_way_are_enough_to_ride_along(item: Position, rides: bool) -> None:
    free = replace(POLICY, coin_price=Atoms(0))
    assert made([item], free, 0).rows == ()
    goes = position(0, 10, since=0)
    assert made([item, goes], free, 0).rows == (goes.channel_id, item.channel_id)[: 1 + rides]


def test_nobody_rides_along_in_the_place_of_one_that_is_due() -> None:
    items = [position(0, 9_000, since=NOW - 600), *(position(1 + n, 10) for n in range(ROWS))]
    assert items[0].channel_id not in made(items, replace(POLICY, coin_price=Atoms(0)), 0).rows
