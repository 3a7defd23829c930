"""What a node buys for its own users, and of whom, against small providers over real HTTP."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio.to_thread
import orjson
import pytest

from tallystick.client.ask import read_ask
from tallystick.client.audits import Audits
from tallystick.client.duel import Duel
from tallystick.client.rules import cheapest
from tallystick.protocol.units import Tokens
from tallystick_node.network.asked import Wishes
from tallystick_node.network.origin import Origin, read_wishes
from tallystick_node.network.own import Answer
from tallystick_node.network.policies import Request
from tests.client.conftest import World, chat_body
from tests.client.echo import MODEL
from tests.client.provider import FakeProvider

CHAT = "/v1/chat/completions"
REQUEST = Request(model=MODEL, input_tokens=Tokens(10), output_tokens=Tokens(10), own=True)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await anyio.to_thread.run_sync(made.close)


def wishes(**fields: Any) -> Wishes:
    return read_wishes({"model": MODEL, **fields})


Opened = Callable[..., Origin]


@pytest.fixture
async def origin(world: World) -> AsyncIterator[Opened]:
    """`origin(own, **budget)`: a node that is the provider `own`."""
    async with AsyncExitStack() as stack:

        def made(own: FakeProvider, **options: Any) -> Origin:
            avoids = frozenset({own.key.address})
            session = world.session(rule=cheapest, avoids=avoids, **options)
            buyer = Origin(session, provider=own.key.address)
            stack.push_async_callback(buyer.aclose)
            return buyer

        yield made


async def bought(buyer: Origin, **fields: Any) -> Answer | None:
    return await buyer.buy(CHAT, orjson.dumps(chat_body(**fields)), {})


async def test_an_answer_is_bought_of_another_and_paid(world: World, origin: Opened) -> None:
    own, other = world.provider(price=1), world.provider(price=100)
    buyer = origin(own)
    await buyer.look()
    assert (buyer.prospect(REQUEST, wishes()).providers, buyer.models()) == (1, [MODEL])
    answer = await bought(buyer)
    assert answer is not None
    assert answer.content is not None
    assert orjson.loads(answer.content)["choices"][0]["message"]["content"] == "one two three "
    assert answer.headers["tallystick-provider"] == "0x" + other.key.address.hex()
    assert set(answer.headers) == {"tallystick-provider", "tallystick-cost"}
    await buyer.aclose()
    assert (own.worked, other.worked, buyer.bought) == (0, 1, 1)
    assert other.paid == other.issued > 0


async def test_it_is_bought_of_whom_it_was_foreseen(world: World, origin: Opened) -> None:
    own = world.provider(price=1)
    for _ in range(5):
        world.provider(price=100)
    buyer = origin(own)
    await buyer.look()
    prospects = buyer._session.payer.prospects
    found = set()
    for _ in range(8):
        seed = buyer.prospect(REQUEST, wishes()).seed
        assert seed is not None
        ask = read_ask(CHAT, orjson.dumps(chat_body()))
        (first, *_) = prospects.foreseen(prospects.wanted(ask, seed))
        answer = await buyer.buy(CHAT, orjson.dumps(chat_body()), {}, seed)
        assert answer is not None
        assert answer.headers["tallystick-provider"] == "0x" + first.posted.offer.provider.hex()
        found.add(first.posted.offer.provider)
    assert len(found) > 1


async def test_what_is_bought_is_answered_twice_and_never_by_oneself(world: World, origin: Opened) -> None:
    """Unless its user keeps it from judges; and auditors are shown what is drawn, as of any payer."""
    own, *others = (world.provider(price=price) for price in (1, 100, 200))
    duel = Duel(share=1, budget=10**8)
    buyer = origin(own, duel=duel, audits=Audits(budget=10**8), block_at=lambda _: None)
    await buyer.look()
    assert await bought(buyer, tallystick={"private": True}) is not None
    session = buyer._session
    assert session.duelling is not None
    assert session.auditing is not None
    assert len(session.auditing.samples) == 0
    assert await bought(buyer) is not None
    assert await anyio.to_thread.run_sync(session.duelling.wait, 20)
    (pair,) = session.purse.pairs.held()
    assert {pair.case.first.provider, pair.case.second.provider} == {one.key.address for one in others}
    assert len(session.auditing.samples) > 0
    assert own.worked == 0


async def test_nothing_is_bought_of_oneself(world: World, origin: Opened) -> None:
    own = world.provider(price=1)
    buyer = origin(own)
    await buyer.look()
    assert (buyer.prospect(REQUEST, wishes()).providers, buyer.models()) == (0, [])
    assert await bought(buyer) is None
    assert await bought(buyer, stream=True) is None
    assert (own.worked, buyer.bought) == (0, 0)


async def test_nothing_is_bought_of_oneself_whatever_a_user_wishes(world: World, origin: Opened) -> None:
    own = world.provider(price=1)
    buyer = origin(own)
    await buyer.look()
    for wish in ({"sort": "price"}, {"only": ["0x" + own.key.address.hex()]}):
        assert buyer.prospect(REQUEST, wishes(provider=wish)).providers == 0
        assert await bought(buyer, provider=wish) is None
    assert own.worked == 0


async def test_a_provider_that_the_request_forbids_is_none(world: World, origin: Opened) -> None:
    own, other = world.provider(price=1), world.provider(price=100)
    buyer = origin(own)
    await buyer.look()
    ignored = {"ignore": ["0x" + other.key.address.hex()]}
    assert buyer.prospect(REQUEST, wishes(provider=ignored)).providers == 0
    assert buyer.prospect(REQUEST, Wishes(models=("none", MODEL), steering=wishes().steering)).providers == 1


async def test_a_stream_is_passed_on_as_it_comes(world: World, origin: Opened) -> None:
    own, other = world.provider(price=1), world.provider()
    answer = await bought(origin(own), stream=True)
    assert answer is not None
    assert answer.content is None
    blocks = [block async for block in answer]
    await answer.aclose()
    assert blocks[-1].endswith(b"data: [DONE]\n\n")
    assert len(blocks) > 1
    assert other.worked == 1


async def test_a_stream_that_breaks_ends_in_words(world: World, origin: Opened) -> None:
    own, other = world.provider(price=1), world.provider()
    other.drops = 9
    answer = await bought(origin(own), stream=True, text="one two three four five")
    assert answer is not None
    last = [block async for block in answer][-1]
    await answer.aclose()
    assert b"answer-lost" in last
    assert b"[DONE]" not in last


@pytest.mark.parametrize(
    "limits",
    [{"total": 100, "per_request": 10}, {"total": 10, "per_request": 10}],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_budget_does_not_cover_is_not_bought(
    world: World, origin: Opened, limits: dict[str, int], stream: bool
) -> None:
    own, other = world.provider(price=1), world.provider(price=10**9)
    assert await bought(origin(own, **limits), stream=stream) is None
    assert other.worked == 0


async def test_of_a_provider_that_is_gone_nothing_is_bought(world: World, origin: Opened) -> None:
    own, other = world.provider(price=1), world.provider()
    await anyio.to_thread.run_sync(other.close)
    assert await bought(origin(own)) is None


async def test_what_an_engine_refuses_is_said_as_it_says_it(world: World, origin: Opened) -> None:
    own = world.provider(price=1)
    world.provider()
    answer = await bought(origin(own), engine_error=True)
    assert answer is not None
    assert answer.status == 400
    assert b"no such thing" in (answer.content or b"")


async def test_who_leaves_a_stream_pays_for_what_came(world: World, origin: Opened) -> None:
    own, other = world.provider(price=1), world.provider()
    buyer = origin(own)
    answer = await bought(buyer, text="word " * 3_000, max_tokens=3_000, stream=True)
    assert answer is not None
    async for _ in answer:
        break
    await answer.aclose()
    await buyer.aclose()
    assert 0 < other.issued == other.paid
