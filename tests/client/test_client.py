"""`tallystick.Client` and `AsyncClient`: prices, receipts and costs in the caller's hands."""

from collections.abc import Callable
from typing import Any

import pytest

from tallystick.client.client import AsyncClient, Client
from tallystick.client.errors import NoEligibleOffer, ProviderRefused, RequestBudgetExceeded


def test_a_question_and_its_price(world: Any) -> None:
    provider = world.provider()
    with Client.of(world.session()) as client:
        answer = client.chat(world.model, "one two three", max_tokens=10)
        assert answer.text == "one two three "
        assert answer.body["usage"]["completion_tokens"] == 3
        assert answer.provider == provider.key.address
        assert answer.receipt is not None
        assert answer.receipt.message.output_tokens == 3
        assert answer.cost == client.spent == answer.receipt.message.cost
        assert client.left == 10**9 - client.spent
        held, = client.receipts()  # fmt: skip
        assert (held.receipt.message, held.model) == (answer.receipt.message, world.model)
    assert provider.paid == answer.cost


def test_texts_come_piece_by_piece(world: Any) -> None:
    provider = world.provider()
    with (
        Client.of(world.session()) as client,
        client.stream_chat(world.model, "a b c", max_tokens=9) as stream,
    ):
        assert list(stream.texts()) == ["a ", "b ", "c "]
        assert stream.outcome.done
        assert stream.outcome.cost == provider.issued
        assert client.complete(world.model, "d e", max_tokens=1).text == "d "
        with client.stream_complete(world.model, "d e", max_tokens=2) as completion:
            assert [chunk["choices"][0]["text"] for chunk in completion] == ["d ", "e ", ""]


async def test_the_same_under_an_event_loop(world: Any) -> None:
    provider = world.provider()
    async with AsyncClient.of(world.session()) as client:
        assert (await client.chat(world.model, "one two", max_tokens=9)).text == "one two "
        async with await client.stream_chat(world.model, "a b", max_tokens=9) as stream:
            assert [text async for text in stream.texts()] == ["a ", "b "]
        assert (await client.complete(world.model, "d e", max_tokens=1)).text == "d "
        async with await client.stream_complete(world.model, "x y", max_tokens=9) as completion:
            assert [chunk["choices"][0]["text"] async for chunk in completion] == ["x ", "y ", ""]
        assert await client.models() == [world.model]
        assert client.spent == provider.issued
        closed, = await client.close_channels()  # fmt: skip
        assert closed.paid == provider.paid == provider.issued


M = 1_000_000


def test_offers_come_cheapest_first(world: Any) -> None:
    prices = [world.provider(price=price).offer.output_price for price in (3 * M, M, 2 * M)]
    with Client.of(world.session()) as client:
        assert [posted.offer.output_price for posted in client.offers(world.model)] == sorted(prices)
        assert client.offers("another") == []
        assert client.models() == [world.model]


def test_errors_are_raised_as_they_are(world: Any) -> None:
    world.provider()
    with Client.of(world.session(per_request=1_000)) as client:
        with pytest.raises(RequestBudgetExceeded) as budget:
            client.chat(world.model, "one", max_tokens=5_000)
        assert budget.value.required > budget.value.actual == 1_000
        with pytest.raises(NoEligibleOffer):
            client.chat("another", "one")
        with pytest.raises(ProviderRefused, match="no such thing"):
            client.chat(world.model, "one", max_tokens=5, engine_error=True)
        assert client.spent == 0


def test_a_closed_channel_is_signed_for_by_its_provider(world: Any) -> None:
    provider = world.provider()
    with Client.of(world.session()) as client:
        cost = client.chat(world.model, "one two", max_tokens=9).cost
        closed, = client.close_channels()  # fmt: skip
        assert closed.close is not None
        assert closed.close.message.cumulative_amount == closed.paid == cost
        assert not closed.submitted
        client.chat(world.model, "three", max_tokens=9)
    assert len(provider.sides) == 2


def test_leaving_a_stream_early(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    with Client.of(world.session()) as client:
        with client.stream_chat(world.model, "a " * 3_000, max_tokens=3_000) as stream:
            assert next(stream.texts()) == "a "
        assert not stream.outcome.done
    assert provider.issued == provider.paid > 0
