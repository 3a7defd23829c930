"""Quotes over real HTTP: what is expected is weighed, what is promised is kept, no engine works for it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from tallystick.protocol.expect import Expected, Inquiry, Redeemed, Size, expect_text
from tallystick.protocol.quote import Quote
from tallystick.protocol.signed import Signed, verify
from tallystick.protocol.speed import Load, Pace, Speed, pace
from tallystick.protocol.units import ZERO_HASH, Atoms, Hash32, Tokens
from tallystick.protocol.voucher import Tally, request_hash
from tallystick.protocol.wire import EXPECT, QUOTE, QUOTES_PATH, read_quote_text, signed_from_json
from tallystick_node.config import Config, EngineConfig, KeysConfig, UsersConfig
from tallystick_node.gateway.gateway import Limits
from tallystick_node.gateway.own_accord import OwnAccord
from tallystick_node.gateway.own_users import OwnRoutes
from tallystick_node.gateway.promises import Claims
from tests.gateway.conftest import Make, World, until
from tests.gateway.payer import CHAT, Payer
from tests.gateway.stub_engine import MODEL
from tests.gateway.test_bad_input import refused

MS = 10**9
SPEED = Speed(
    fixed=10 * MS,
    sequence=10 * MS,
    weights=0,
    token=MS,
    context=0,
    capacity=Tokens(0),
    chunk=Tokens(0),
)
"""Ten milliseconds a step, ten more for each sequence, one for each prompt token."""
HURRIED = Expected(size=Size(input_tokens=Tokens(10), output_tokens=Tokens(8)), pace=Pace(0.0, 0.0))
PATIENT = replace(HURRIED, pace=Pace(60.0, 1.0))


@pytest.fixture
async def quick(make_world: Make) -> World:
    """One whose engine's speed is known."""
    return await make_world(claims=Claims(speed=SPEED))


async def ask(payer: Payer, said: Expected | Redeemed | None, body: bytes | None = None) -> httpx2.Response:
    body = payer.body(stream=True) if body is None else body
    headers = payer.headers(body) | ({} if said is None else {EXPECT: expect_text(said)})
    return await payer.http.post(CHAT, content=body, headers=headers)


async def inquire(payer: Payer, size: Size = HURRIED.size, **changes: Any) -> httpx2.Response:
    asked = Inquiry(offer_hash=payer.offer_hash, size=size)
    body = orjson.dumps(asked.to_json())
    headers = payer.headers(body, **{"offer_hash": ZERO_HASH} | changes)
    return await payer.http.post(QUOTES_PATH, content=body, headers=headers)


async def quoted(payer: Payer, size: Size = HURRIED.size) -> Quote:
    """What a provider says when it is asked, checked."""
    response = await inquire(payer, size)
    assert response.status_code == 200, response.text
    return proven(payer, signed_from_json(Quote, response.json()))


def proven(payer: Payer, signed: Signed[Quote]) -> Quote:
    quote = verify(signed, payer.domain, signer=payer.receipt_key).message
    assert (quote.provider, quote.channel_id) == (payer.offer.provider, payer.channel.id)
    assert quote.offer_hash == payer.offer_hash
    return quote


@asynccontextmanager
async def occupied(world: World, payer: Payer, requests: int) -> AsyncIterator[asyncio.Semaphore]:
    """While so many streams wait for the engine's first token."""
    world.engine.gate = gate = asyncio.Semaphore(0)
    before = world.engine.started
    tasks = [asyncio.create_task(ask(payer, None)) for _ in range(requests)]
    await until(lambda: world.engine.started == before + requests)
    try:
        yield gate
    finally:
        let_go(gate)
        answers = await asyncio.gather(*tasks)
    assert {answer.status_code for answer in answers} == {200}


def let_go(gate: asyncio.Semaphore) -> None:
    for _ in range(10_000):
        gate.release()


# ------------------------------------------------------------------------------------------- expectations


@pytest.mark.parametrize("stream", [True, False])
async def test_who_expects_no_more_than_there_is_gets_the_promise_with_the_answer(
    quick: World, stream: bool
) -> None:
    payer = await quick.payer()
    body = payer.body(stream=stream)
    response = await ask(payer, PATIENT, body)
    assert response.status_code == 200
    quote = proven(payer, read_quote_text(response.headers[QUOTE]))
    assert quote.request_hash == request_hash(payer.offer_hash, body)
    assert (quote.output_tokens, quote.valid_until) == (8, 0)
    idle = Load(running=0, waiting=0, context=0, queued=0)
    foretold = pace(SPEED, idle, input_tokens=quote.input_tokens, output_tokens=8)
    assert quote.pace.first_s == pytest.approx(foretold.first_s, abs=2e-6)
    assert quote.pace.token_s == pytest.approx(foretold.token_s, abs=2e-6)


async def test_who_expects_nothing_is_served_as_ever_and_promised_nothing(quick: World) -> None:
    payer = await quick.payer()
    response = await ask(payer, None)
    assert response.status_code == 200
    assert QUOTE not in response.headers


async def test_a_bounce_costs_no_engine_time_and_changes_nothing(quick: World) -> None:
    payer = await quick.payer()
    async with occupied(quick, payer, 12):
        before = quick.held()
        body = payer.body()
        response = await ask(payer, HURRIED, body)
        error = refused(response, 503, "bounced")
        assert error["retryable"] is True
        assert response.headers["retry-after"] == "0"
        quote = proven(payer, signed_from_json(Quote, error["quote"]))
        assert quote.request_hash == request_hash(payer.offer_hash, body)
        assert quote.valid_until == 0
        assert quote.pace.first_s > 0.3
        assert quick.held() == before, "not even its nonce is taken"


async def test_a_bounced_request_can_be_sent_again(quick: World) -> None:
    payer = await quick.payer()
    async with occupied(quick, payer, 12):
        body = payer.body()
        refused(await ask(payer, HURRIED, body), 503, "bounced")
    assert (await payer.post(body, nonce=payer.nonce)).status_code == 200


async def test_the_voucher_of_a_bounced_request_is_kept(quick: World) -> None:
    payer = await quick.payer()
    await payer.complete()
    async with occupied(quick, await quick.payer(), 12):
        refused(await ask(payer, HURRIED), 503, "bounced")
    await quick.restart()
    assert quick.books.tabs[payer.channel.id].acknowledged == payer.tally


async def test_a_bounce_hands_in_no_grant(quick: World) -> None:
    """Which would cost the provider gas for a payer that goes elsewhere."""
    async with occupied(quick, await quick.payer(), 12):
        payer = quick.stranger()
        quick.chain.deposit(payer.wallet.address, 10**6)
        grant = payer.grant(10**6, deadline=quick.clock.now // 1000 + 3600)
        body = payer.body(stream=True)
        headers = payer.headers(body, grant=grant) | {EXPECT: expect_text(HURRIED)}
        refused(await payer.http.post(CHAT, content=body, headers=headers), 503, "bounced")
        assert not quick.books.tabs[payer.channel.id].kept


async def test_who_understates_its_request_is_quoted_for_what_it_seems_to_be(quick: World) -> None:
    payer = await quick.payer()
    long = payer.body(stream=True, messages=[{"role": "user", "content": "word " * 4000}])
    response = await ask(payer, HURRIED, long)
    quote = signed_from_json(Quote, refused(response, 503, "bounced")["quote"]).message
    assert quote.input_tokens >= 2_000


@pytest.mark.parametrize("text", ["", "soon", "quote=0x12", "first-us=1, token-us=1", "x" * 200])
async def test_an_expectation_in_no_form_is_refused_before_anything_else(quick: World, text: str) -> None:
    payer = await quick.payer()
    before = quick.held()
    body = payer.body()
    response = await payer.http.post(CHAT, content=body, headers=payer.headers(body) | {EXPECT: text})
    refused(response, 400, "malformed-message")
    assert quick.held() == before


# ------------------------------------------------------------------------------------------- held quotes


async def test_a_quote_is_redeemed_after_the_load_rose(quick: World) -> None:
    payer, others = await quick.payer(), await quick.payer()
    quote = await quoted(payer)
    assert quote.request_hash == ZERO_HASH
    assert quote.valid_until == quick.clock.now + 2_000
    async with occupied(quick, others, 12) as gate:
        refused(await ask(payer, replace(HURRIED, pace=quote.pace)), 503, "bounced")
        let_go(gate)
        body = payer.body(stream=True)
        response = await ask(payer, Redeemed(quote.struct_hash()), body)
        assert response.status_code == 200
        promise = proven(payer, read_quote_text(response.headers[QUOTE]))
        assert promise.pace == quote.pace
        assert promise.request_hash == request_hash(payer.offer_hash, body)


async def test_a_quote_holds_room_in_a_node_that_is_full(make_world: Make) -> None:
    world = await make_world(
        claims=Claims(speed=SPEED), limits=Limits(running=4, unsecured=Atoms(0), head_age_s=120)
    )
    payer, others = await world.payer(), await world.payer()
    quote = await quoted(payer)
    async with occupied(world, others, 3) as gate:
        refused(await ask(others, None), 429, "busy")
        refused(await ask(others, PATIENT), 429, "busy")
        let_go(gate)
        assert (await ask(payer, Redeemed(quote.struct_hash()))).status_code == 200


async def test_an_expired_quote_is_refused(quick: World) -> None:
    payer = await quick.payer()
    quote = await quoted(payer)
    quick.clock.advance(2)
    before = quick.held()
    error = refused(await ask(payer, Redeemed(quote.struct_hash())), 410, "quote-expired")
    assert error["retryable"] is False
    assert quick.held() == before


async def test_a_foreign_quote_is_refused(quick: World) -> None:
    payer, thief = await quick.payer(), await quick.payer()
    quote = await quoted(payer)
    refused(await ask(thief, Redeemed(quote.struct_hash())), 409, "quote-unknown")
    assert (await ask(payer, Redeemed(quote.struct_hash()))).status_code == 200


async def test_a_quote_is_redeemed_once(quick: World) -> None:
    payer = await quick.payer()
    quote = await quoted(payer)
    assert (await ask(payer, Redeemed(quote.struct_hash()))).status_code == 200
    refused(await ask(payer, Redeemed(quote.struct_hash())), 409, "quote-unknown")


async def test_a_newer_quote_replaces_the_one_before(quick: World) -> None:
    payer = await quick.payer()
    first = await quoted(payer)
    quick.clock.advance(0.001)
    second = await quoted(payer)
    assert len(quick.gateway.promises.held()) == 1
    refused(await ask(payer, Redeemed(first.struct_hash())), 409, "quote-unknown")
    assert (await ask(payer, Redeemed(second.struct_hash()))).status_code == 200


async def test_a_quote_outlasts_a_refusal_for_want_of_credit(make_world: Make) -> None:
    """The payer acknowledges what it owes and sends the request once more."""
    world = await make_world(claims=Claims(speed=SPEED), credit=200)
    payer = await world.payer()
    await payer.complete()
    owed, payer.tally = payer.tally, Tally()
    quote = await quoted(payer)
    redeeming = Redeemed(quote.struct_hash())
    refused(await ask(payer, redeeming, payer.body()), 402, "credit-exceeded")
    payer.tally = owed
    assert (await ask(payer, redeeming, payer.body())).status_code == 200


async def test_who_sends_the_nonce_again_gets_the_promise_again(quick: World) -> None:
    payer = await quick.payer()
    quick.engine.gate = gate = asyncio.Semaphore(0)
    body = payer.body()
    headers = payer.headers(body) | {EXPECT: expect_text(PATIENT)}
    first, second = (asyncio.create_task(payer.http.post(CHAT, content=body, headers=headers)) for _ in "ab")
    await until(lambda: quick.engine.started == 1)
    let_go(gate)
    one, other = await first, await second
    assert one.headers[QUOTE] == other.headers[QUOTE]
    assert quick.engine.started == 1


async def test_a_quote_for_a_small_request_redeems_no_large_one(quick: World) -> None:
    payer = await quick.payer()
    quote = await quoted(payer)
    long = payer.body(stream=True, messages=[{"role": "user", "content": "word " * 4000}])
    refused(await ask(payer, Redeemed(quote.struct_hash()), long), 409, "quote-mismatch")
    assert (await ask(payer, Redeemed(quote.struct_hash()))).status_code == 200


async def test_who_knew_less_of_the_model_asks_for_what_the_bounce_said_and_is_let_in(quick: World) -> None:
    """A body of digits has far more tokens than a payer thinks that never saw one."""
    quick.gateway.promises.lengths.learn(MODEL, 2_255, 1_734, "before")
    payer = await quick.payer()
    body = payer.body(stream=True, messages=[{"role": "user", "content": "12 345 6789 0 " * 150}])
    thought = Size(input_tokens=Tokens(len(body) // 4), output_tokens=Tokens(8))
    blind = await quoted(payer, thought)
    refused(await ask(payer, Redeemed(blind.struct_hash()), body), 409, "quote-mismatch")
    error = refused(await ask(payer, replace(HURRIED, size=thought), body), 503, "bounced")
    told = signed_from_json(Quote, error["quote"]).message
    assert thought.input_tokens < told.input_tokens <= len(body) // 2
    quote = await quoted(payer, replace(thought, input_tokens=told.input_tokens))
    assert (await ask(payer, Redeemed(quote.struct_hash()), body)).status_code == 200


async def test_a_quote_for_one_offer_redeems_no_other(quick: World) -> None:
    payer = await quick.payer()
    quote = await quoted(payer)
    payer.offer = quick.post_offer(output_price=1)
    payer.offer_hash = payer.offer.struct_hash()
    await quick.watch.poll()
    refused(await ask(payer, Redeemed(quote.struct_hash())), 409, "quote-mismatch")


async def test_what_is_held_counts_in_the_quotes_after_it(quick: World) -> None:
    size = Size(input_tokens=Tokens(1_000), output_tokens=Tokens(8))
    first, second = await quick.payer(), await quick.payer()
    alone, beside = await quoted(first, size), await quoted(second, size)
    assert alone.first_token_us == pytest.approx(10_000 + 10_000 + 1_000_000, rel=0.05)
    assert beside.first_token_us > 1.9 * alone.first_token_us
    quick.clock.advance(2)
    assert (await quoted(await quick.payer(), size)).first_token_us == alone.first_token_us


async def test_no_quote_is_for_more_than_the_context_holds(quick: World) -> None:
    payer = await quick.payer()
    size = Size(input_tokens=Tokens(4_090), output_tokens=Tokens(7))
    refused(await inquire(payer, size), 400, "context-too-long")
    assert not quick.gateway.promises.held()
    await quoted(payer, replace(size, output_tokens=Tokens(6)))


async def test_who_lets_quotes_go_weighs_less_in_the_load(quick: World) -> None:
    size = Size(input_tokens=Tokens(4_000), output_tokens=Tokens(8))
    idler, payer = await quick.payer(), await quick.payer()
    alone = await quoted(payer)
    for _ in range(20):
        await quoted(idler, size)
    quick.clock.advance(2)
    await quoted(idler, size)
    beside = await quoted(payer)
    assert beside.first_token_us - alone.first_token_us < 500_000, "of the four seconds that it would take"


async def test_asking_can_hold_a_quarter_of_the_room_and_no_more(make_world: Make) -> None:
    world = await make_world(
        claims=Claims(speed=SPEED), limits=Limits(running=8, unsecured=Atoms(0), head_age_s=120)
    )
    payers = [await world.payer() for _ in range(4)]
    quotes = [await quoted(payer) for payer in payers]
    assert [bool(quote.valid_until) for quote in quotes] == [True, True, False, False]
    refused(await ask(payers[3], Redeemed(quotes[3].struct_hash())), 409, "quote-unknown")
    async with occupied(world, payers[3], 6):
        pass


async def test_an_inquiry_costs_no_engine_time_and_opens_nothing(quick: World) -> None:
    payer = quick.stranger()
    quick.chain.deposit(payer.wallet.address, 10**6)
    grant = payer.grant(10**6, deadline=quick.clock.now // 1000 + 3600)
    response = await inquire(payer, grant=grant)
    assert response.status_code == 200, response.text
    quote = proven(payer, signed_from_json(Quote, response.json()))
    assert not quick.books.tabs[payer.channel.id].kept
    assert quick.engine.started == 0
    body = payer.body(stream=True)
    headers = payer.headers(body, grant=grant) | {EXPECT: expect_text(Redeemed(quote.struct_hash()))}
    assert (await payer.http.post(CHAT, content=body, headers=headers)).status_code == 200


async def test_only_who_can_pay_is_answered(quick: World) -> None:
    payer = quick.stranger()
    refused(await inquire(payer), 404, "channel-unknown")
    payer = await quick.payer()
    other = await quick.payer()
    refused(await inquire(payer, key=other.session), 401, "wrong-signer")
    refused(await payer.http.post(QUOTES_PATH, content=b"{}"), 402, "payment-required")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{}", 400, "malformed-message"),
        (b"[]", 400, "malformed-message"),
        (b"{", 400, "malformed-message"),
        (
            orjson.dumps(Inquiry(offer_hash=Hash32(bytes(32)), size=HURRIED.size).to_json()),
            404,
            "offer-unknown",
        ),
    ],
)
async def test_an_inquiry_in_no_form_holds_nothing(quick: World, body: bytes, status: int, code: str) -> None:
    payer = await quick.payer()
    headers = payer.headers(body, offer_hash=ZERO_HASH)
    refused(await payer.http.post(QUOTES_PATH, content=body, headers=headers), status, code)
    assert not quick.gateway.promises.held()


async def test_a_node_that_drains_promises_nothing(quick: World) -> None:
    payer = await quick.payer()
    quick.gateway.draining = True
    refused(await inquire(payer), 503, "draining")
    refused(await ask(payer, PATIENT), 503, "draining")
    assert [status.room for status in quick.gateway.statuses(engine_up=True)] == [0]


# ------------------------------------------------------------------------------------------- what it says


async def test_the_status_counts_what_runs_and_what_is_held(quick: World) -> None:
    payer = await quick.payer()
    quick.engine.input_tokens = 100
    async with occupied(quick, payer, 3) as gate:
        [status] = quick.gateway.statuses(engine_up=True)
        assert (status.offer_hash, status.speed) == (payer.offer_hash, SPEED)
        assert (status.running, status.waiting, status.room) == (0, 3, 497)
        assert status.queued > 0
        for _ in range(6):
            gate.release()
        await until(lambda: quick.gateway.statuses(engine_up=True)[0].context == 306)
        await quoted(payer)
        [status] = quick.gateway.statuses(engine_up=True)
        assert (status.running, status.waiting, status.context, status.room) == (3, 1, 306, 496)
        assert status.queued == HURRIED.size.input_tokens
        assert quick.gateway.statuses(engine_up=False)[0].room == 0
    quick.clock.advance(2)
    [status] = quick.gateway.statuses(engine_up=True)
    assert (status.load, status.room) == (Load(running=0, waiting=0, context=0, queued=0), 500)


async def test_an_engine_that_was_never_seen_is_promised_nothing_of(world: World) -> None:
    payer = await world.payer()
    response = await ask(payer, PATIENT)
    assert response.status_code == 200
    assert QUOTE not in response.headers
    refused(await inquire(payer), 503, "unready")
    assert world.gateway.statuses(engine_up=True)[0].speed.weights == 0


async def test_after_a_few_answers_there_are_quotes(world: World) -> None:
    """Each takes 50 ms, and 20 more for each token."""
    payer = await world.payer()
    world.engine.gate = asyncio.Semaphore(0)
    for _ in range(3):
        before = world.engine.started
        task = asyncio.create_task(ask(payer, None))
        await until(lambda before=before: world.engine.started == before + 1)  # type: ignore[misc]
        world.clock.advance(0.05)
        for token in range(8):
            world.engine.gate.release()
            await until(lambda token=token: _said(world) in (token + 1, None))  # type: ignore[misc]
            world.clock.advance(0.02)
        assert (await task).status_code == 200
    await until(lambda: not world.gateway.running)
    quote = await quoted(payer)
    assert quote.token_us == pytest.approx(20_000, rel=0.25)
    assert quote.first_token_us == pytest.approx(50_000, rel=0.25)


def _said(world: World) -> int | None:
    """Tokens of the only request; None: it has ended."""
    for running in world.gateway.running.values():
        return running.meter.output_tokens
    return None


# ------------------------------------------------------------------------------------- beside own users


def with_users(
    monkeypatch: pytest.MonkeyPatch, claims: Claims = Claims(speed=SPEED), **limits: int
) -> dict[str, Any]:
    """A world whose node has users of its own, put together as a node does it."""
    monkeypatch.setenv("OWN_USERS", "a-key-of-some-user")
    keys = KeysConfig(receipt=Path("none"))
    config = Config(
        rpc="http://none",
        deployment=Path("none"),
        keys=keys,
        engine=EngineConfig(url="http://none"),
        users=UsersConfig(keys_env="OWN_USERS", **limits),
    )

    def own(world: World) -> OwnRoutes | None:
        provider: Any = None  # Asked for what it holds only by who buys, or stakes.
        made = OwnAccord(config, provider, world.gateway, world.upstream, world.clock, world.metrics)
        return made.open(None)

    return {"own": own, "claims": claims}


async def own_user(world: World, **fields: Any) -> httpx2.Response:
    body = {"model": world.model, "messages": [], "stream": True} | fields
    return await world.http.post(CHAT, json=body, headers={"Authorization": "Bearer a-key-of-some-user"})


async def test_what_own_users_ask_for_is_in_every_quote(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world(**with_users(monkeypatch))
    payer = await world.payer()
    alone = await quoted(payer)
    (before,) = world.gateway.statuses(engine_up=True)
    world.engine.gate = asyncio.Semaphore(2)
    asking = asyncio.create_task(own_user(world))
    await until(lambda: world.gateway.promises.load().running == 1)
    beside = await quoted(payer)
    (during,) = world.gateway.statuses(engine_up=True)
    assert beside.token_us > alone.token_us
    assert (before.room - during.room, during.running) == (1, 1)
    for _ in range(6):
        world.engine.gate.release()
    assert (await asking).status_code == 200
    await until(lambda: world.gateway.promises.load().running == 0)


async def slowly(world: World, asking: Callable[[], Coroutine[Any, Any, httpx2.Response]]) -> None:
    """The engine takes 50 ms for the prompt, and 20 for each of eight tokens."""

    def said() -> int | None:
        """Tokens of the only request; None: it has ended."""
        accord = world.gateway.promises.beside
        assert isinstance(accord, OwnAccord)
        assert accord.own is not None
        return next((item.counts.output_tokens for item in accord.own.running), None)

    world.engine.gate = asyncio.Semaphore(0)
    before = world.engine.started
    task = asyncio.create_task(asking())
    await until(lambda: world.engine.started == before + 1)
    world.clock.advance(0.05)
    for token in range(8):
        world.engine.gate.release()
        await until(lambda token=token: said() in (token + 1, None))
        world.clock.advance(0.02)
    assert (await task).status_code == 200


async def test_own_users_answers_tell_of_the_engine_as_well(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world(**with_users(monkeypatch, Claims()))
    payer = await world.payer()
    refused(await inquire(payer), 503, "unready")
    for _ in range(3):
        await slowly(world, lambda: own_user(world))
    quote = await quoted(payer)
    assert quote.token_us == pytest.approx(20_000, rel=0.25)
    assert quote.first_token_us == pytest.approx(50_000, rel=0.25)
    estimate = world.gateway.promises.lengths.tokens(world.model, 1_000)
    assert estimate < 250, "a token of these bodies has more bytes than is usual"


async def test_own_users_get_the_usage_where_they_ask_for_it(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world(**with_users(monkeypatch))
    told = {}
    for wanted in (False, True):
        answer = await own_user(world, stream_options={"include_usage": wanted})
        assert world.engine.bodies[-1]["stream_options"] == {"include_usage": True}
        chunks = [orjson.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
        told[wanted] = [chunk["usage"]["completion_tokens"] for chunk in chunks if "usage" in chunk]
        assert len([chunk for chunk in chunks if chunk["choices"]]) == 8
    assert told == {False: [], True: [8]}


async def test_while_own_users_wait_nothing_is_promised_and_what_was_is_kept(
    make_world: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await make_world(**with_users(monkeypatch, running=1))
    promised, late = await world.payer(), await world.payer()
    held = await quoted(promised)
    gate = world.engine.gate = asyncio.Semaphore(0)
    asking = [asyncio.create_task(own_user(world)) for _ in range(2)]
    await until(lambda: world.gateway.promises.room() == 0)
    (told,) = world.gateway.statuses(engine_up=True)
    assert told.room == 0
    refused(await inquire(late), 429, "busy")
    refused(await ask(late, None), 429, "busy")
    kept = asyncio.create_task(ask(promised, Redeemed(held.struct_hash())))
    await until(lambda: len(world.gateway.running) == 1)
    let_go(gate)
    assert (await kept).status_code == 200
    assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}
    assert (await ask(late, None)).status_code == 200
