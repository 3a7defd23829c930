"""Own users of a real gateway, over HTTP: who is let in, who comes first, and what the engine is told."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import httpx2
import openai
import orjson
import pytest
from openai import AsyncOpenAI

from tallystick.protocol.speed import Load
from tallystick.protocol.units import Milliseconds, Tokens
from tallystick_node.gateway.errors import Busy
from tallystick_node.gateway.intake import Intake, IntakePolicy
from tallystick_node.gateway.load import Work
from tallystick_node.gateway.own_users import OwnRoutes
from tallystick_node.network.asked import Wishes
from tallystick_node.network.lobby import Lobby, LobbyLimits
from tallystick_node.network.origin import read_wishes
from tallystick_node.network.own import Answer, AtEngine, Own, Prospect
from tallystick_node.network.participation import Participation
from tallystick_node.network.policies import ByLoad, Policy, Request, State
from tallystick_node.network.users import User, Users
from tests.gateway.conftest import Make, World, until
from tests.gateway.stub_engine import MODEL

KEY = "tk-a-key-of-ann"
CHAT = "/v1/chat/completions"


@dataclass
class Shop:
    """Somebody who sells, or does not."""

    answers: list[bytes | None] = field(default_factory=list)
    """What each purchase brings; None: nobody sells."""
    known: int = 1
    context: int = 0
    """The most that one of them has; 0: nobody knows."""
    status: int = 200
    asked: list[bytes] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    quotes: list[tuple[str, ...]] = field(default_factory=list)
    """The models that were asked about."""
    lengths: list[Tokens] = field(default_factory=list)
    """Of the engine's own answers."""
    seeds: list[int | None] = field(default_factory=list)
    """By which it was bought."""

    def prospect(self, request: Request, wishes: Wishes) -> Prospect:
        self.quotes.append(wishes.models)
        return Prospect(providers=self.known, context=Tokens(self.context), seed=len(self.quotes))

    async def buy(
        self, path: str, body: bytes, headers: Mapping[str, str], seed: int | None = None
    ) -> Answer | None:
        self.asked.append(body)
        self.seeds.append(seed)
        self.headers = headers
        content = self.answers.pop(0)
        return content and Answer(status=self.status, media_type="application/json", content=content)

    def typical_output(self, model: str) -> Tokens:
        return self.lengths[-1] if self.lengths else Tokens(256)

    def ended(self, model: str, output_tokens: int) -> None:
        self.lengths.append(Tokens(output_tokens))


@dataclass
class Answers:
    """A policy that says what it is told to."""

    says: list[Any] = field(default_factory=list)
    accepts: Any = True
    expected: list[int] = field(default_factory=list)
    """Output tokens, as it was told each time it was asked where to get an answer."""

    def accept(self, request: Request, state: State) -> Any:
        return self.accepts

    def offload(self, request: Request, state: State) -> Any:
        self.expected.append(request.expected_output)
        said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    def price(self, state: State) -> None:
        return None

    def stake(self, state: State) -> None:
        return None


@dataclass
class Idle:
    has: int = 0
    """Tokens of context, of its own model."""
    speed = None

    def context(self, model: str) -> Tokens:
        return Tokens(self.has if model == MODEL else 10 * self.has)

    def load(self) -> Load:
        return Load(running=0, waiting=0, context=Tokens(0), queued=Tokens(0))

    def free(self) -> int:
        return 1

    def most(self) -> int:
        return 1

    def company(self) -> int:
        return 0

    def note(self, running: AtEngine, now: Milliseconds) -> None:
        pass


@dataclass
class Side:
    """As `OwnAccord` has it."""

    lobby: Lobby
    running = 0

    def works(self) -> list[Work]:
        return []

    def waiting(self) -> int:
        return self.lobby.waiting

    def require_taken(self, request: Request) -> None:
        if self.lobby.waiting:
            raise Busy("Own users wait.")


@dataclass
class Node:
    """A world with users, and what is behind them."""

    world: World
    lobby: Lobby
    own: Own

    async def ask(self, key: str | None = KEY, path: str = CHAT, **fields: Any) -> httpx2.Response:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Say something."}]} | fields
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return await self.world.http.post(path, json=body, headers=headers)

    def program(self) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.world.http.base_url}/v1", api_key=KEY, max_retries=0)


@pytest.fixture
def make_node(make_world: Make) -> Callable[..., Any]:
    """`await make_node(shop=…, policy=…, context=…, roomy=…, **limits)`."""

    async def make(
        *,
        shop: Shop | None = None,
        policy: Policy | None = None,
        context: int = 0,
        roomy: str = "",
        **limits: Any,
    ) -> Node:
        """`context`: of the engine, which has ten times as much for a model `roomy`."""
        within = {"running": 8, "waiting": 8, "waiting_s": 5, "each": 100} | limits
        made: list[Any] = []

        def own(world: World) -> OwnRoutes:
            lobby = Lobby(LobbyLimits(**within))
            participation = Participation(policy or ByLoad(), Idle(), world.clock)
            participation.own_waiting = lambda: lobby.waiting
            own = Own(
                upstream=world.upstream,
                serves=lambda model: model if model in (MODEL, roomy) else None,
                read_wishes=read_wishes,
                estimate=world.gateway.promises.lengths.tokens,
                participation=participation,
                engine=Idle(context),
                lobby=lobby,
                clock=world.clock,
                buying=shop,
            )
            made.extend((lobby, own))

            world.gateway.promises.beside = Side(lobby)
            ann = User("ann", sha256(KEY.encode()).digest())
            return OwnRoutes(
                Users([ann]),
                own,
                intake=Intake(IntakePolicy(body=1 << 20, total=1 << 20, seconds=5)),
                models=lambda: [MODEL, "elsewhere"],
                draining=lambda: world.gateway.draining,
                patience_s=5,
            )

        world = await make_world(own=own)
        return Node(world, *made)

    return make


# --------------------------------------------------------------------------------------- who is let in


async def test_a_user_is_served_and_pays_nothing(make_node: Callable[..., Any]) -> None:
    node = await make_node()
    payer = await node.world.payer()
    before = node.world.held()
    async with node.program() as client:
        question: Any = [{"role": "user", "content": "Say something."}]
        whole = await client.chat.completions.create(model=MODEL, messages=question)
        stream = await client.chat.completions.create(model=MODEL, messages=question, stream=True)
        chunks = [chunk async for chunk in stream]
        text = await client.completions.create(model=MODEL, prompt="a")
    assert whole.choices[0].message.content == "x " * 8
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "".join(
        f"w{i} " for i in range(8)
    )
    assert text.choices
    assert node.world.held() | {"started": 0} == before | {"started": 0}
    assert not node.own.running
    assert (await payer.complete())["choices"], "payers are served as before"


async def test_strangers_and_payers_go_the_way_they_went(make_node: Callable[..., Any]) -> None:
    node = await make_node()
    assert (await node.ask(None)).json()["error"]["code"] == "payment-required"
    refused = await node.ask("wrong")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "user-unknown")
    assert node.world.engine.started == 0


async def test_where_there_are_no_users_a_key_is_none(world: World) -> None:
    response = await world.http.post(CHAT, json={"model": MODEL}, headers={"Authorization": f"Bearer {KEY}"})
    assert (response.status_code, response.json()["error"]["code"]) == (402, "payment-required")


async def test_guessing_keys_is_limited_as_guessing_credentials_is(
    make_node: Callable[..., Any],
) -> None:
    node = await make_node()
    node.world.guard._limit = 3
    codes = [(await node.ask("wrong")).json()["error"]["code"] for _ in range(5)]
    assert codes == ["user-unknown"] * 3 + ["rate-limited"] * 2


async def test_users_see_all_models_and_others_what_is_offered(make_node: Callable[..., Any]) -> None:
    node = await make_node()
    http = node.world.http
    mine = (await http.get("/v1/models", headers={"Authorization": f"Bearer {KEY}"})).json()
    assert [model["id"] for model in mine["data"]] == [MODEL, "elsewhere"]
    offered = (await http.get("/v1/models")).json()
    assert [model["id"] for model in offered["data"]] == [MODEL]
    assert (await http.get("/v1/models", headers={"Authorization": "Bearer x"})).status_code == 401


async def test_nothing_of_the_engine_s_headers_or_of_the_user_s_passes(
    make_node: Callable[..., Any],
) -> None:
    node = await make_node()
    node.world.engine.refuse = (429, {"error": {"message": "not now", "code": 429}})
    refused = await node.ask()
    assert (refused.status_code, refused.json()["error"]["message"]) == (429, "not now")
    node.world.engine.refuse = None
    allowed = {"content-type", "content-length", "cache-control", "x-accel-buffering", "transfer-encoding"}
    for fields in ({}, {"stream": True}):
        headers = (await node.ask(**fields)).headers
        assert set(headers) <= allowed | {"date", "server"}
        assert headers["server"] == "uvicorn"


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{", b'{"model": 3}', b"\xff"),
        b'{"model": "stub", "a": ' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)
async def test_what_is_no_request_is_said(make_node: Callable[..., Any], body: bytes) -> None:
    node = await make_node()
    headers = {"Authorization": f"Bearer {KEY}"}
    response = await node.world.http.post(CHAT, content=body, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "malformed-message")


async def test_a_node_that_shuts_down_takes_none(make_node: Callable[..., Any]) -> None:
    node = await make_node()
    node.world.gateway.draining = True
    assert (await node.ask()).json()["error"]["code"] == "draining"
    node.world.gateway.draining = False


# --------------------------------------------------------------------------------------- who comes first


async def test_while_users_wait_nothing_paid_is_taken(make_node: Callable[..., Any]) -> None:
    node = await make_node(running=1)
    payer = await node.world.payer()
    node.world.engine.gate = asyncio.Semaphore(0)
    first, second = (asyncio.create_task(node.ask()) for _ in range(2))
    await until(lambda: node.lobby.waiting == 1 and node.world.engine.started == 1)
    held = node.world.held()
    refused = await payer.post(payer.body())
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "busy")
    assert node.world.held() == held
    for _ in range(8):
        node.world.engine.gate.release()
    assert (await first).status_code == 200
    await until(lambda: node.lobby.waiting == 0)
    node.world.engine.gate = None
    assert (await payer.complete())["choices"]
    second.cancel()


async def test_users_use_the_engine_at_once_however_much_paid_work_runs(
    make_node: Callable[..., Any],
) -> None:
    node = await make_node()
    payer = await node.world.payer()
    gate = node.world.engine.gate = asyncio.Semaphore(0)
    paid = [asyncio.create_task(payer.complete(payer.body(max_tokens=1))) for _ in range(5)]
    await until(lambda: node.world.engine.started == 5)
    mine = asyncio.create_task(node.ask(max_tokens=1))
    await until(lambda: node.world.engine.started == 6)
    for _ in range(6):
        gate.release()
    assert (await mine).status_code == 200
    assert all(answer["choices"] for answer in await asyncio.gather(*paid))


async def test_those_who_wait_are_not_too_many_and_not_for_ever(make_node: Callable[..., Any]) -> None:
    node = await make_node(running=1, waiting=1, waiting_s=0.2)
    node.world.engine.gate = asyncio.Semaphore(0)
    first, second = (asyncio.create_task(node.ask()) for _ in range(2))
    await until(lambda: node.lobby.waiting == 1)
    crowded = await node.ask()
    late = await second
    assert [(told.status_code, told.json()["error"]["code"]) for told in (crowded, late)] == [
        (429, "crowded")
    ] * 2
    for _ in range(8):
        node.world.engine.gate.release()
    assert (await first).status_code == 200


async def test_one_user_has_so_many_requests(make_node: Callable[..., Any]) -> None:
    node = await make_node(each=2)
    node.world.engine.gate = asyncio.Semaphore(0)
    under_way = [asyncio.create_task(node.ask(stream=bool(i))) for i in range(2)]
    await until(lambda: node.world.engine.started == 2)
    assert (await node.ask()).json()["error"]["code"] == "user-busy"
    for _ in range(16):
        node.world.engine.gate.release()
    assert {(await task).status_code for task in under_way} == {200}
    node.world.engine.gate = None
    assert (await node.ask()).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_who_hangs_up_leaves_the_engine_alone(make_node: Callable[..., Any], stream: bool) -> None:
    node = await make_node(running=1)
    node.world.engine.gate = asyncio.Semaphore(2)
    asking = asyncio.create_task(node.ask(stream=stream))
    await until(lambda: node.world.engine.started == 1 and node.world.engine.gate._value == 0)
    waiting = asyncio.create_task(node.ask())
    await until(lambda: node.lobby.waiting == 1)
    waiting.cancel()
    await until(lambda: node.lobby.waiting == 0)
    asking.cancel()
    await asyncio.wait_for(node.world.engine.cut.wait(), 60)
    await until(lambda: not node.own.running)
    node.world.engine.gate = None
    assert (await node.ask()).status_code == 200


# --------------------------------------------------------------------------------------- here or elsewhere


async def test_what_the_policy_sends_away_is_bought(make_node: Callable[..., Any]) -> None:
    shop = Shop([b'{"from": "elsewhere"}'])
    node = await make_node(shop=shop, policy=Answers([True, False]))
    assert (await node.ask(marker=1)).json() == {"from": "elsewhere"}
    assert node.world.engine.started == 0
    assert orjson.loads(shop.asked[0])["marker"] == 1
    assert (await node.ask()).json()["choices"]
    assert (node.world.engine.started, len(shop.asked)) == (1, 1)


async def test_whom_to_buy_from_is_said_to_who_buys_and_not_to_the_engine(
    make_node: Callable[..., Any],
) -> None:
    shop = Shop([b"{}"])
    node = await make_node(shop=shop, policy=Answers([True, False]))
    steering = {"provider": {"sort": "price"}, "models": ["other"], "tallystick": {"continue": True}}
    for _ in range(2):
        assert (await node.ask(**steering)).status_code == 200
    assert orjson.loads(shop.asked[0]).items() >= steering.items()
    (body,) = node.world.engine.bodies
    assert not steering.keys() & body.keys()


@pytest.mark.parametrize(
    "strange",
    [
        {"provider": {"foo": 1}},
        {"provider": {"sort": "beauty"}},
        {"models": "m"},
        {"tallystick": {"hedges": True}},
    ],
)
@pytest.mark.parametrize("away", [False, True])
async def test_a_wish_that_means_nothing_is_refused_wherever_it_would_be_answered(
    make_node: Callable[..., Any], strange: dict[str, Any], away: bool
) -> None:
    shop = Shop([b"{}"])
    node = await make_node(shop=shop, policy=Answers([away]))
    refused = await node.ask(**strange)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "malformed-message")
    assert (node.world.engine.started, shop.asked) == (0, [])


async def test_models_are_tried_one_after_the_other_here_as_elsewhere(make_node: Callable[..., Any]) -> None:
    shop = Shop([None], known=0)
    node = await make_node(shop=shop, policy=Answers([False, False, False]))
    for named in ({"models": [MODEL]}, {"model": "none", "models": [MODEL]}):
        answer = await node.world.http.post(
            CHAT, json={"messages": [], **named}, headers={"Authorization": f"Bearer {KEY}"}
        )
        assert answer.status_code == 200
    assert [body["model"] for body in node.world.engine.bodies] == [MODEL, MODEL]
    assert shop.quotes == [(MODEL,), ("none",), (MODEL,)]
    shop.known = 1
    assert (await node.ask(model="none", models=[MODEL])).json()["choices"], "what is sold is bought; else"
    assert len(shop.asked) == 1
    gone = await node.ask(model="none", models=["none-either"])
    assert gone.status_code != 200


async def test_what_nobody_sells_the_own_engine_answers(make_node: Callable[..., Any]) -> None:
    node = await make_node(shop=Shop([None]), policy=Answers([True]))
    assert (await node.ask()).json()["choices"]
    assert node.world.engine.started == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_dead_engine_does_not_answer_is_bought(
    make_node: Callable[..., Any], stream: bool
) -> None:
    shop = Shop([b'{"from": "elsewhere"}', None])
    node = await make_node(shop=shop, policy=Answers([False, False]))
    node.world.engine.die_after = 0
    assert (await node.ask(stream=stream)).json() == {"from": "elsewhere"}
    nobody = await node.ask(stream=stream)
    assert (nobody.status_code, nobody.json()["error"]["code"]) == (503, "unserved")


async def test_an_engine_that_dies_in_mid_stream_ends_it_in_words(make_node: Callable[..., Any]) -> None:
    node = await make_node()
    node.world.engine.die_after = 3
    async with node.program() as client:
        question: Any = [{"role": "user", "content": "Say something."}]
        stream = await client.chat.completions.create(model=MODEL, messages=question, stream=True)
        with pytest.raises(openai.APIError, match="broke off"):
            async for _ in stream:
                pass
    await until(lambda: not node.own.running)


async def test_an_undecided_policy_is_asked_again_and_the_request_waits(
    make_node: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallystick_node.network.own.AGAIN_S", 0.05)
    policy = Answers([None, None, None, None, True])
    shop = Shop([b'{"from": "elsewhere"}'])
    node = await make_node(shop=shop, policy=policy)
    asking = asyncio.create_task(node.ask())
    await until(lambda: node.lobby.waiting == 1)
    assert (await asking).json() == {"from": "elsewhere"}
    assert policy.says == []
    assert shop.seeds == [5], "it is bought of whom the last answer was about"
    assert node.lobby.waiting == 0


@pytest.mark.parametrize("nonsense", [ZeroDivisionError(), "yes", 1])
async def test_a_policy_that_fails_stops_nobody(make_node: Callable[..., Any], nonsense: object) -> None:
    node = await make_node(shop=Shop(), policy=Answers([nonsense]))
    assert (await node.ask()).status_code == 200, "the default decides: there is room"


async def test_a_model_that_is_not_here_is_bought_or_unknown(make_node: Callable[..., Any]) -> None:
    shop = Shop([b'{"from": "elsewhere"}', None])
    node = await make_node(shop=shop, policy=Answers())
    assert (await node.ask(model="theirs")).json() == {"from": "elsewhere"}
    assert (await node.ask(model="theirs")).json()["error"]["code"] == "unserved"
    shop.known = 0
    unknown = await node.ask(model="theirs")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model-unknown")
    assert node.world.engine.started == 0


async def test_what_says_that_it_is_a_repetition_reaches_who_sells_alone(
    make_node: Callable[..., Any],
) -> None:
    shop = Shop([b"{}"])
    node = await make_node(shop=shop, policy=Answers([True]))
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "k", "Cookie": "secret", "X-Other": "o"}
    await node.world.http.post(CHAT, json={"model": MODEL}, headers=headers)
    assert dict(shop.headers) == {"idempotency-key": "k"}


async def test_a_paid_request_is_never_sold_on(make_node: Callable[..., Any]) -> None:
    """There is no way from a payer's request to who buys, whatever the policy would like."""
    shop = Shop()
    node = await make_node(shop=shop, policy=Answers([True] * 9))
    payer = await node.world.payer()
    await payer.complete()
    node.world.engine.die_after = 0
    assert (await payer.post(payer.body())).status_code == 502
    assert shop.asked == []


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_is_expected_of_an_answer_is_learnt_of_those_before(
    make_node: Callable[..., Any], streamed: bool
) -> None:
    """Whether to buy is decided for a whole answer: those of models that think are twenty times as long."""
    shop, policy = Shop(), Answers([False, False])
    node = await make_node(shop=shop, policy=policy)
    for _ in range(2):
        assert (await node.ask(stream=streamed)).status_code == 200
    assert shop.lengths[0] != 256
    assert policy.expected == [256, shop.lengths[0]]


# --------------------------------------------------------------------------------------- what has room


def words(count: int) -> dict[str, Any]:
    """A prompt that is taken for somewhat more tokens, and is of no more than five times as many."""
    return {"messages": [{"role": "user", "content": "tell " * count}]}


TOO_LONG = (400, {"error": {"message": "too long for me", "type": "BadRequestError", "code": 400}})


@pytest.mark.parametrize("asked", [words(1_000), words(10) | {"max_tokens": 1_000}])
async def test_what_the_engine_cannot_hold_is_bought_at_once(
    make_node: Callable[..., Any], asked: dict[str, Any]
) -> None:
    """The policy, which would keep it, is not asked."""
    policy = Answers([])
    shop = Shop([b'{"from": "elsewhere"}'], context=4_096)
    node = await make_node(shop=shop, policy=policy, context=1_000)
    assert (await node.ask(**asked)).json() == {"from": "elsewhere"}
    assert (node.world.engine.started, policy.expected) == (0, [])


async def test_each_answer_has_the_context_by_itself(make_node: Callable[..., Any]) -> None:
    node = await make_node(shop=Shop(context=4_096), policy=Answers([False, False]), context=1_000)
    assert (await node.ask(n=4, max_tokens=500)).status_code == 200
    text = await node.ask(path="/v1/completions", prompt=["tell " * 500] * 4, messages=None)
    assert text.status_code == 200
    assert node.world.engine.started == 2


@pytest.mark.parametrize("shop", [None, Shop(known=0), Shop(context=500)])
@pytest.mark.parametrize("asked", [words(10_000), words(10) | {"max_tokens": 1_001}])
async def test_what_nobody_holds_is_refused_in_words(
    make_node: Callable[..., Any], asked: dict[str, Any], shop: Shop | None
) -> None:
    node = await make_node(shop=shop, policy=Answers([]), context=1_000)
    refused = await node.ask(**asked)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["retryable"]) == (400, "context-too-long", False)
    assert error["required"] == "1000"
    assert int(error["actual"]) > 1_000
    assert node.world.engine.started == 0


async def test_what_somebody_holds_who_does_not_sell_it_now_may_be_asked_for_again(
    make_node: Callable[..., Any],
) -> None:
    node = await make_node(shop=Shop([None], context=100_000), policy=Answers([]), context=1_000)
    refused = await node.ask(**words(10_000))
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["retryable"]) == (503, "unserved", True)


@pytest.mark.parametrize("shop", [None, Shop(context=500), Shop([None, None], context=4_096)])
async def test_what_is_a_little_too_long_by_guess_the_engine_counts(
    make_node: Callable[..., Any], shop: Shop | None
) -> None:
    """Where nobody sells it: a guess refuses nobody what the engine may hold."""
    node = await make_node(shop=shop, policy=Answers([]), context=1_000)
    node.world.engine.input_tokens = 1_270
    assert (await node.ask(**words(1_000))).json()["choices"]
    node.world.engine.refuse = TOO_LONG
    refused = await node.ask(**words(1_000))
    assert (refused.status_code, refused.json()) == TOO_LONG
    assert shop is None or shop.answers == []


@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_engine_finds_too_long_is_bought_of_who_has_more(
    make_node: Callable[..., Any], stream: bool
) -> None:
    shop = Shop([b'{"from": "elsewhere"}'], context=4_096)
    node = await make_node(shop=shop, policy=Answers([False] * 4), context=1_000)
    node.world.engine.refuse = TOO_LONG
    assert (await node.ask(stream=stream, **words(500))).json() == {"from": "elsewhere"}
    assert (await node.ask(stream=stream, **words(5))).json() == TOO_LONG[1], "of so few bytes it is not"
    shop.context = 1_000
    assert (await node.ask(stream=stream, **words(500))).json() == TOO_LONG[1], "nobody has more"
    shop.context, shop.status = 4_096, 400
    shop.answers.append(b'{"error": {"message": "nor for me"}}')
    assert (await node.ask(stream=stream, **words(500))).json() == TOO_LONG[1]
    assert shop.answers == []


async def test_what_an_engine_elsewhere_finds_too_long_the_node_s_own_may_hold(
    make_node: Callable[..., Any],
) -> None:
    refusal = b'{"error": {"message": "too long for them"}}'
    shop = Shop([refusal, refusal], status=400)
    node = await make_node(shop=shop, policy=Answers([True, True]), context=1_000)
    assert (await node.ask(**words(500))).json()["choices"]
    node.world.engine.refuse = TOO_LONG
    assert (await node.ask(**words(500))).json() == TOO_LONG[1], "and each is asked once"
    assert (len(shop.asked), node.world.engine.started) == (2, 2)


async def test_what_an_engine_elsewhere_refuses_is_said_where_the_node_s_own_is_crowded(
    make_node: Callable[..., Any],
) -> None:
    refusal = b'{"error": {"message": "too long for them"}}'
    shop = Shop([refusal, None], status=400)
    policy = Answers([False, True, True])
    node = await make_node(shop=shop, policy=policy, context=1_000, running=1, waiting=0)
    node.world.engine.gate = asyncio.Semaphore(0)
    first = asyncio.create_task(node.ask())
    await until(lambda: node.world.engine.started == 1)
    refused = await node.ask(**words(500))
    assert (refused.status_code, refused.content) == (400, refusal)
    assert (await node.ask(**words(500))).status_code == 429, "nobody said anything else"
    for _ in range(8):
        node.world.engine.gate.release()
    assert (await first).status_code == 200


async def test_of_models_that_will_do_one_is_taken_that_has_room(make_node: Callable[..., Any]) -> None:
    node = await make_node(policy=Answers([]), context=1_000, roomy="roomy")
    assert (await node.ask(models=["roomy"], **words(1_500))).status_code == 200
    assert (await node.ask(models=["roomy"], **words(15))).status_code == 200
    assert (await node.ask(models=["roomy"], **words(200_000))).json()["error"]["code"] == "context-too-long"
    assert [body["model"] for body in node.world.engine.bodies] == ["roomy", MODEL]


async def test_a_model_that_nobody_has_room_for_is_not_liked_better(make_node: Callable[..., Any]) -> None:
    """Of two that the engine has the second one alone holds the request: the policy says who answers it."""
    policy, shop = Answers([False]), Shop([b'{"from": "elsewhere"}'], context=1_000)
    node = await make_node(shop=shop, policy=policy, context=1_000, roomy="roomy")
    assert (await node.ask(models=["roomy"], **words(1_500))).json()["choices"]
    assert (shop.asked, policy.says) == ([], [])
    shop.context = 4_096
    assert (await node.ask(models=["roomy"], **words(1_500))).json() == {"from": "elsewhere"}
    shop.context, shop.answers = 1_000, [b'{"from": "elsewhere"}']
    elsewhere = await node.ask(model="none", **words(1_500))
    assert elsewhere.json() == {"from": "elsewhere"}, "what is not here may be asked for: it counts"


async def test_what_is_not_text_is_not_taken_for_too_long(make_node: Callable[..., Any]) -> None:
    """Of a picture its bytes say nothing: the engine counts."""
    node = await make_node(shop=Shop(context=4_096), policy=Answers([False]), context=1_000)
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    said = [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, picture]}]
    assert (await node.ask(messages=said)).json()["choices"]
