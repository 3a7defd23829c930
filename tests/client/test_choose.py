"""Choosing is a function: candidates, a request and a rule in, an order out."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.client.choose import (
    Candidate,
    Choice,
    Wanted,
    choose,
    eligible,
    expected_cost,
)
from tallystick.client.rules import cheapest
from tallystick.ports import PostedOffer
from tallystick.protocol.length import TYPICAL_ANSWER
from tallystick.protocol.offer import Offer
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, Hash32, Timestamp, Tokens
from tallystick.reach import reachable_safely

NOW = Timestamp(1_000)
WANTED = Wanted(model="m", input_tokens=Tokens(100), output_tokens=Tokens(10), seed=0)


def posted(number: int = 1, **changes: object) -> PostedOffer:
    offer = Offer(
        provider=Address(number.to_bytes(20, "big")),
        sequence=0,
        endpoint="https://gateway.example:8443",
        endpoint_key=ZERO_HASH,
        model="m",
        model_hash=ZERO_HASH,
        input_price=10**6,
        cached_input_price=10**6,
        output_price=10**6,
        context_length=1_000,
        credit=1_000,
        valid_until=1_001,
    )
    offer = replace(offer, **changes)  # type: ignore[arg-type]  # any field
    stake = Stake(
        provider=offer.provider,
        staked=Atoms(1),
        exiting=Atoms(0),
        exits_at=Timestamp(0),
        receipt_key=offer.provider,
    )
    return PostedOffer(offer=offer, offer_hash=offer.struct_hash(), stake=stake)


def unseen(*offers: PostedOffer) -> list[Candidate]:
    return [Candidate(posted=item) for item in offers]


def order(choices: Sequence[Choice]) -> list[PostedOffer]:
    return [choice.posted for choice in choices]


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True),
        ({"model": "n"}, False),
        ({"valid_until": 1_000}, False),
        ({"context_length": 10}, False),
        ({"context_length": 11}, True),
        ({"endpoint": "http://gateway.example"}, False),
        ({"endpoint": "http://127.0.0.1:80"}, True),
        ({"endpoint": "http://[::1]:80"}, True),
        ({"endpoint": "http://localhost"}, True),
        ({"endpoint": "http://127.0.0.1:80", "endpoint_key": Hash32(b"\1" * 32)}, False),
        ({"endpoint": "https://gateway.example", "endpoint_key": Hash32(b"\1" * 32)}, True),
        ({"endpoint": "ftp://gateway.example"}, False),
        ({"endpoint": "https://"}, False),
        ({"endpoint": "https://gateway.example:port"}, False),
        ({"endpoint": "http://127.0.0.1.evil.example"}, False),
        ({"endpoint": "https://[bad"}, False),
    ],
)
def test_who_is_eligible(changes: dict[str, object], fits: bool) -> None:
    assert eligible(posted(**changes), WANTED, now=NOW, local=True) is fits


def test_each_of_several_answers_has_the_context_by_itself() -> None:
    several = replace(WANTED, output_tokens=Tokens(40), answers=4)
    fits = [eligible(posted(context_length=n), several, now=NOW, local=True) for n in (10, 11)]
    assert fits == [False, True]
    enough, more = posted(1, context_length=110), posted(2, context_length=900, output_price=10**7)
    assert order(choose(unseen(more, enough), several, cheapest, now=NOW, local=True)) == [enough, more]


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://gateway.example",
        "http://127.0.0.1:9000",
        "https://127.0.0.1",
        "https://127.1",
        "https://2130706433",
        "https://0x7f.0.0.1",
        "https://0.0.0.0",
        "https://localhost",
        "https://gateway.localhost.",
        "https://intranet",
        "https://169.254.169.254",
        "https://192.168.0.1",
        "https://[::1]",
        "https://[fe80::1]",
        "https://[::ffff:127.0.0.1]",
    ],
)
def test_on_a_public_chain_nobody_names_a_private_host(endpoint: str) -> None:
    assert not eligible(posted(endpoint=endpoint), WANTED, now=NOW, local=False)


@pytest.mark.parametrize(
    "endpoint", ["https://gateway.example:8443", "https://1.1.1.1", "https://[2606:4700::1]/base"]
)
def test_public_hosts_serve_on_public_chains(endpoint: str) -> None:
    assert eligible(posted(endpoint=endpoint), WANTED, now=NOW, local=False)


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("rest", ["/x?y=", "/x?", "/x#y", "/ x", "/x\n", "/\\x"])
def test_an_endpoint_is_a_base_url(rest: str, local: bool) -> None:
    assert not eligible(posted(endpoint=f"https://gateway.example{rest}"), WANTED, now=NOW, local=local)
    assert not eligible(posted(endpoint="https://user@gateway.example"), WANTED, now=NOW, local=local)


def test_whose_context_holds_the_request_comes_before_who_is_cheaper() -> None:
    short, long = posted(1, context_length=4_096), posted(2, context_length=32_768, input_price=5 * 10**6)
    offers = unseen(short, long)
    fits = replace(WANTED, input_tokens=Tokens(4_000))
    chat = replace(WANTED, input_tokens=Tokens(4_090))
    book = replace(WANTED, input_tokens=Tokens(40_000))
    assert order(choose(offers, fits, cheapest, now=NOW, local=True)) == [short, long]
    assert order(choose(offers, chat, cheapest, now=NOW, local=True)) == [long, short]
    assert order(choose(offers, book, cheapest, now=NOW, local=True)) == [short, long], "It is a guess."
    other = posted(3, model="n", context_length=65_536)
    either = replace(book, fallbacks=("n",))
    assert order(choose(unseen(short, other), either, cheapest, now=NOW, local=True)) == [other, short]


def test_the_avoided_are_left_out() -> None:
    one, two = posted(1), posted(2)
    chosen = choose(unseen(one, two), WANTED, cheapest, now=NOW, local=True, avoided={one.offer.provider})
    assert order(chosen) == [two]


@given(
    st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 10**8)), max_size=8), st.integers(0, 2**64 - 1)
)
def test_cheapest_orders_by_what_the_request_would_cost(prices: list[tuple[int, int]], seed: int) -> None:
    offers = [posted(i, input_price=a, output_price=b) for i, (a, b) in enumerate(prices)]
    wanted = replace(WANTED, seed=seed)
    ordered = order(choose(unseen(*offers), wanted, cheapest, now=NOW, local=True))
    assert sorted(ordered, key=lambda item: item.offer.provider) == offers
    costs = [expected_cost(item, wanted) for item in ordered]
    assert costs == sorted(costs)


def test_a_dear_price_of_cached_input_is_no_bait() -> None:
    """What was cached is the provider's own word: it may say that all was."""
    bait = posted(1, input_price=1, cached_input_price=10**9)
    honest = posted(2, input_price=2 * 10**6, cached_input_price=10**6)
    assert order(cheapest(unseen(bait, honest), WANTED)) == [honest, bait]


def test_equal_offers_share_the_load() -> None:
    offers = [posted(i) for i in range(4)]
    first = {
        order(choose(unseen(*offers), replace(WANTED, seed=seed), cheapest, now=NOW, local=True))[
            0
        ].offer_hash
        for seed in range(64)
    }
    assert len(first) == 4


def test_an_unlimited_answer_is_compared_at_a_typical_length() -> None:
    unlimited = replace(WANTED, output_tokens=None)
    assert expected_cost(posted(), unlimited) == 100 + TYPICAL_ANSWER


def test_a_rule_may_refuse() -> None:
    assert not choose(unseen(posted()), WANTED, lambda _, __: [], now=NOW, local=True)


@given(st.text(max_size=40))
def test_no_endpoint_is_too_strange_to_judge(endpoint: str) -> None:
    assert reachable_safely(posted(endpoint=endpoint).offer, local=False) in (True, False)
