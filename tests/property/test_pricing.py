"""Cost is exact, rounded up once, and never falls as work grows."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tallystick.protocol.errors import ReceiptDoesNotAddUp
from tallystick.protocol.offer import Offer
from tallystick.protocol.pricing import MINIMUM_INTERIM_COST, attachments, cost_up, output_tokens_down

MTOK = 1_000_000
offers = st.from_type(Offer)
tokens = st.integers(0, 2**32 - 1)


@st.composite
def counts(draw):
    """Input, cached and output tokens of one receipt."""
    input_tokens = draw(tokens)
    return {
        "input_tokens": input_tokens,
        "cached_input_tokens": draw(st.integers(0, input_tokens)),
        "output_tokens": draw(tokens),
    }


def exact(offer, *, input_tokens, cached_input_tokens, output_tokens):
    fresh = (input_tokens - cached_input_tokens) * Fraction(offer.input_price, MTOK)
    cached = cached_input_tokens * Fraction(offer.cached_input_price, MTOK)
    return fresh + cached + output_tokens * Fraction(offer.output_price, MTOK)


@given(offers, counts())
def test_cost_is_the_exact_price_rounded_up_once(offer, work):
    assert cost_up(offer, **work) == ceil(exact(offer, **work))


@given(offers, counts())
def test_a_provider_is_short_of_nothing_and_gains_less_than_an_atom(offer, work):
    assert 0 <= cost_up(offer, **work) - exact(offer, **work) < 1


@given(offers, counts(), tokens)
def test_more_output_never_costs_less(offer, work, more):
    assert cost_up(offer, **work | {"output_tokens": work["output_tokens"] + more}) >= cost_up(offer, **work)


@given(offers, counts(), tokens)
def test_more_input_never_costs_less(offer, work, more):
    assert cost_up(offer, **work | {"input_tokens": work["input_tokens"] + more}) >= cost_up(offer, **work)


@given(offers, counts())
def test_a_cheaper_cache_never_costs_more(offer, work):
    assume(offer.cached_input_price <= offer.input_price)

    assert cost_up(offer, **work) <= cost_up(offer, **work | {"cached_input_tokens": 0})


@given(offers, st.lists(counts(), min_size=1, max_size=8))
def test_a_request_paid_in_parts_costs_at_most_an_atom_more_a_part(offer, parts):
    whole = {name: sum(part[name] for part in parts) for name in parts[0]}
    in_parts = sum(cost_up(offer, **part) for part in parts)

    assert 0 <= in_parts - cost_up(offer, **whole) < len(parts)


@given(offers, st.lists(counts(), min_size=1, max_size=8))
def test_parts_of_the_least_interim_cost_add_at_most_one_percent(offer, parts):
    costs = [cost_up(offer, **part) for part in parts]
    assume(all(cost >= MINIMUM_INTERIM_COST for cost in costs))

    assert sum(costs) <= sum(exact(offer, **part) for part in parts) * Fraction(100, 99)


@given(offers)
def test_nothing_costs_nothing(offer):
    assert cost_up(offer, input_tokens=0, cached_input_tokens=0, output_tokens=0) == 0


@given(offers, st.integers(0, 2**32), st.integers(1, 2**32))
def test_counts_that_contradict_each_other_have_no_price(offer, input_tokens, surplus):
    with pytest.raises(ReceiptDoesNotAddUp) as caught:
        cost_up(offer, input_tokens=input_tokens, cached_input_tokens=input_tokens + surplus, output_tokens=0)

    assert (caught.value.required, caught.value.actual) == (input_tokens, input_tokens + surplus)


@given(offers, st.integers(0, 2**128 - 1))
def test_output_tokens_down_is_the_most_that_atoms_buy(offer, atoms):
    assume(offer.output_price > 0)
    bought = output_tokens_down(offer, atoms)

    def cost(count):
        return cost_up(offer, input_tokens=0, cached_input_tokens=0, output_tokens=count)

    assert cost(bought) <= atoms < cost(bought + 1)


@given(offers, st.integers(max_value=0))
def test_no_atoms_buy_no_output(offer, atoms):
    assume(offer.output_price > 0)

    assert output_tokens_down(offer, atoms) * offer.output_price == 0


def test_only_parts_that_are_no_text_are_attachments() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    text = {"type": "text", "text": "What is this?"}
    assert attachments([{"role": "user", "content": [text, image, image]}]) == 2
    assert attachments([{"role": "user", "content": "What is this?"}]) == 0


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda each: st.lists(each) | st.dictionaries(st.text(), each)
    )
)
def test_attachments_of_any_json_are_counted_without_a_fault(messages: object) -> None:
    assert attachments(messages) >= 0
