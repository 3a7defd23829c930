"""Amounts summed in SQL are summed exactly."""

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, delete, insert, select
from sqlalchemy.pool import StaticPool

from tallystick_node.explorer.columns import Amount
from tallystick_node.explorer.queries.sums import parts_of, together

TABLE = Table("amounts", MetaData(), Column("id", Integer, primary_key=True), Column("amount", Amount()))
ENGINE = create_engine("sqlite://", poolclass=StaticPool)
TABLE.metadata.create_all(ENGINE)


@given(st.lists(st.integers(0, 2**128 - 1)))
def test_a_sum_is_exact(amounts: list[int]) -> None:
    with ENGINE.begin() as connection:
        connection.execute(delete(TABLE))
        if amounts:
            connection.execute(insert(TABLE), [{"amount": amount} for amount in amounts])
        assert together(connection.execute(select(*parts_of(TABLE.c.amount))).one()) == sum(amounts)
