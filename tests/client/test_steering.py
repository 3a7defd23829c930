"""OpenRouter's `provider` object and `models`: what they mean here, and that no provider gets to see them."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.client.ask import CHAT_PATH, read_ask
from tallystick.client.choose import Candidate, Choice, Rule, Wanted, choose
from tallystick.client.errors import MalformedRequest
from tallystick.client.rules import Judged, cheapest, quoted, steered
from tallystick.client.steering import QUANTIZATIONS, Steering, read_models, read_steering
from tallystick.ports import PostedOffer, Seen
from tallystick.protocol.offer import Offer
from tallystick.protocol.speed import Pace, Speed
from tallystick.protocol.stake import Stake
from tallystick.protocol.status import PARAMETERS, Status
from tallystick.protocol.units import ZERO_HASH, Address, Atoms, Timestamp, Tokens, to_hex
from tests.client.provider import FakeProvider
from tests.client.serving import Handler

URL = "https://market/v1/chat/completions"
DOLLAR = Atoms(1_000_000)
WANTED = Wanted(model="m", input_tokens=Tokens(1_000), output_tokens=Tokens(100), seed=1, unit=DOLLAR)
STILL = Speed(fixed=0, sequence=0, weights=0, token=0, context=0, capacity=Tokens(0), chunk=Tokens(0))


def one(
    number: int,
    *,
    price: int = 100_000,
    output: int = 300_000,
    cached: int = 0,
    step_s: float = 0.01,
    model: str = "m",
    quantization: str = "bf16",
    parameters: Sequence[str] = PARAMETERS,
    heard: bool = True,
    spread: float = 0.35,
) -> Candidate:
    offer = Offer(
        provider=Address(number.to_bytes(20, "big")),
        sequence=0,
        endpoint=f"https://gpu{number}.Example:8443/base",
        endpoint_key=ZERO_HASH,
        model=model,
        model_hash=ZERO_HASH,
        input_price=price,
        cached_input_price=cached,
        output_price=output,
        context_length=10_000,
        credit=1_000,
        valid_until=10,
    )
    stake = Stake(
        provider=offer.provider,
        staked=Atoms(1),
        exiting=Atoms(0),
        exits_at=Timestamp(0),
        receipt_key=offer.provider,
    )
    status = Status(
        provider=offer.provider,
        offer_hash=offer.struct_hash(),
        sequence=1,
        room=9,
        running=0,
        waiting=0,
        context=Tokens(0),
        queued=Tokens(0),
        parameters=sum(1 << PARAMETERS.index(name) for name in parameters),
        quantization=quantization,
        speed=replace(STILL, fixed=round(step_s * 1e12)),
    )
    seen = Seen(status=status if heard else None, age_ms=0, suspected=False, ratio=1.0)
    return Candidate(
        posted=PostedOffer(offer=offer, offer_hash=offer.struct_hash(), stake=stake), seen=seen, spread=spread
    )


def order(
    candidates: Sequence[Candidate], wishes: dict[str, object], rule: Rule = quoted, **more: Any
) -> list[int]:
    steering = read_steering({"messages": [], "provider": wishes, **more.pop("body", {})})
    wanted = replace(WANTED, steering=steering, **more)
    chosen = choose(candidates, wanted, steered(rule, steering), now=Timestamp(0), local=True)
    return [int.from_bytes(choice.posted.offer.provider) for choice in chosen]


def name(number: int) -> str:
    return to_hex(number.to_bytes(20, "big"))


ONE, TWO, THREE = one(1), one(2, price=200_000), one(3, price=300_000)
ALL = (ONE, TWO, THREE)


# ------------------------------------------------------------------------------------------ what wishes do


def test_without_wishes_the_rule_orders() -> None:
    assert order(ALL, {}, cheapest) == [1, 2, 3]


def test_named_ones_come_first_in_their_order() -> None:
    assert order(ALL, {"order": [name(3), name(2)]}, cheapest) == [3, 2, 1]
    assert order(ALL, {"order": [name(3)], "allow_fallbacks": False}, cheapest) == [3]
    assert order(ALL, {"order": [name(9)], "allow_fallbacks": False}, cheapest) == []
    assert order(ALL, {"allow_fallbacks": False}, cheapest) == [1]


@pytest.mark.parametrize("called", ["gpu2.example", "GPU2.EXAMPLE", "gpu2.example:8443", name(2).upper()])
def test_a_provider_is_called_by_address_or_host(called: str) -> None:
    called = called.replace("0X", "0x")
    assert order(ALL, {"only": [called]}) == [2]
    assert order(ALL, {"ignore": [called]}, cheapest) == [1, 3]


def test_ignored_is_ignored_whatever_else_is_wished() -> None:
    assert order(ALL, {"order": [name(2)], "ignore": [name(2)]}, cheapest) == [1, 3]


def test_prices_are_in_whole_units_of_the_asset() -> None:
    """A tenth of a dollar is a tenth, and what exactly costs the limit is within it."""
    assert order(ALL, {"max_price": {"prompt": 0.2}}, cheapest) == [1, 2]
    assert order(ALL, {"max_price": {"prompt": "0.1999999"}}, cheapest) == [1]
    assert order(ALL, {"max_price": {"prompt": 0.3, "completion": 0.2}}, cheapest) == []
    assert order(ALL, {"max_price": {"completion": 0.3}}, cheapest) == [1, 2, 3]


def test_a_dear_price_of_cached_input_is_over_the_limit_too() -> None:
    assert order([one(1, cached=10**9)], {"max_price": {"prompt": 1}}) == []


def test_quantizations() -> None:
    candidates = [one(1), one(2, quantization="fp8"), one(3, quantization=""), one(4, heard=False)]
    assert set(order(candidates, {"quantizations": ["fp8", "int4"]})) == {2}
    assert set(order(candidates, {"quantizations": ["unknown"]})) == {3, 4}


def test_parameters_that_are_required_have_to_be_understood() -> None:
    candidates = [one(1), one(2, parameters=["temperature"]), one(3, heard=False)]
    body = {"temperature": 0.2, "tools": [{}], "top_p": None}
    assert order(candidates, {"require_parameters": True}, body=body) == [1]
    assert len(order(candidates, {"require_parameters": False}, body=body)) == 3
    assert order(candidates, {"require_parameters": True}, body={"of_the_future": 1}) == []


def test_sorting_by_one_thing_alone() -> None:
    """Time to the first token of a long prompt, and time between tokens, of engines that differ in both."""
    slow_step = replace(one(1, price=1), quoted=Pace(0.1, 0.09))
    quick_step = replace(one(2), quoted=Pace(0.5, 0.01))
    both = [slow_step, quick_step]
    assert order(both, {"sort": "price"}) == [1, 2]
    assert order(both, {"sort": "latency"}) == [1, 2]
    assert order(both, {"sort": "throughput"}) == [2, 1]
    assert order(both, {"sort": {"by": "throughput"}}, cheapest) == [2, 1]


def test_who_is_likely_too_slow_comes_last_and_is_not_left_out() -> None:
    candidates = [one(1, step_s=0.05), one(2, step_s=0.02, price=200_000), one(3, heard=False, price=1)]
    assert order(candidates, {"preferred_min_throughput": 30}, cheapest) == [2, 3, 1]
    assert order(candidates, {"preferred_max_latency": 0.03}, cheapest) == [2, 3, 1]
    assert order(candidates, {"preferred_max_latency": {"p50": 0.06, "p90": 0.04}}, cheapest) == [2, 3, 1]
    assert order(candidates, {"preferred_max_latency": {"p50": 0.06}}, cheapest) == [1, 2, 3]


def test_a_percentile_is_the_farther_the_more_a_provider_varies() -> None:
    steady, wild = one(1, spread=0.05, price=200_000), one(2, spread=1.0)
    assert order([steady, wild], {"preferred_min_throughput": {"p90": 60}}, cheapest) == [1, 2]
    assert order([steady, wild], {"preferred_min_throughput": {"p50": 60}}, cheapest) == [2, 1]


def test_what_a_provider_has_not_kept_counts() -> None:
    kept, broken = one(1, price=200_000), one(2)
    broken = replace(broken, seen=replace(broken.seen, ratio=4.0))
    assert order([kept, broken], {"preferred_min_throughput": 50}, cheapest) == [1, 2]


def test_models_are_tried_one_after_the_other() -> None:
    other = one(4, model="n", price=1)
    assert order([*ALL, other], {}, cheapest, fallbacks=("n",)) == [1, 2, 3, 4]
    assert order([*ALL, other], {"sort": {"by": "price", "partition": "none"}}, fallbacks=("n",))[0] == 4
    assert order([*ALL, other], {}, cheapest) == [1, 2, 3]


def test_another_model_that_is_fast_enough_goes_before_one_that_is_not() -> None:
    slow, other = one(1, step_s=0.5), one(2, model="n")
    assert order([slow, other], {"preferred_min_throughput": 10}, fallbacks=("n",)) == [2, 1]


# ------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize(
    "wishes",
    [
        [],
        "cheapest",
        {"colour": "red"},
        {"order": name(1)},
        {"order": [1]},
        {"order": [""]},
        {"order": ["x"] * 101},
        {"only": []},
        {"only": {}},
        {"ignore": [None]},
        {"allow_fallbacks": 1},
        {"require_parameters": "yes"},
        {"quantizations": ["fp9"]},
        {"sort": "beauty"},
        {"sort": {"by": "price", "partition": "all"}},
        {"sort": {"partition": "none"}},
        {"sort": {"by": "price", "of": 1}},
        {"sort": ["price"]},
        {"max_price": 1},
        {"max_price": {"prompt": -1}},
        {"max_price": {"prompt": "1e9"}},
        {"max_price": {"prompt": "1/3"}},
        {"max_price": {"prompt": True}},
        {"max_price": {"words": 1}},
        {"preferred_min_throughput": "fast"},
        {"preferred_min_throughput": {"p42": 1}},
        {"preferred_max_latency": -0.1},
        {"preferred_max_latency": {"p50": True}},
        {"data_collection": "deny"},
        {"data_collection": "maybe"},
        {"zdr": True},
        {"enforce_distillable_text": True},
    ],
)
def test_wishes_that_mean_nothing_are_refused(wishes: object) -> None:
    with pytest.raises(MalformedRequest, match="provider"):
        read_steering({"provider": wishes})


@pytest.mark.parametrize(
    "wishes", [None, {}, {"order": None}, {"data_collection": "allow", "zdr": False}, {"max_price": {}}]
)
def test_wishes_of_nothing_are_none(wishes: object) -> None:
    assert read_steering({"provider": wishes}) == Steering()


def test_limits_are_exactly_what_is_written() -> None:
    steering = read_steering({"provider": {"max_price": {"prompt": 0.1, "completion": "0.30", "request": 1}}})
    assert steering.input_price == Fraction(1, 10)
    assert steering.output_price == Fraction(3, 10)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
_members = st.sampled_from(
    [
        *("order", "only", "ignore", "allow_fallbacks", "require_parameters", "quantizations", "sort"),
        *("max_price", "preferred_min_throughput", "preferred_max_latency", "data_collection", "zdr"),
    ]
)


@given(st.dictionaries(_members, _json, max_size=4), _json)
def test_anything_is_read_or_refused(wishes: dict[str, object], models: object) -> None:
    with suppress(MalformedRequest):
        read_steering({"provider": wishes, "temperature": 1})
    with suppress(MalformedRequest):
        read_models({"model": "m", "models": models})


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "order": st.lists(st.sampled_from([name(i) for i in range(1, 5)])),
            "only": st.lists(st.sampled_from([name(i) for i in range(1, 5)]), min_size=1),
            "ignore": st.lists(st.sampled_from([name(i) for i in range(1, 5)])),
            "allow_fallbacks": st.booleans(),
            "sort": st.sampled_from(["price", "throughput", "latency", "quality"]),
            "quantizations": st.lists(st.sampled_from(sorted(QUANTIZATIONS)), min_size=1),
            "max_price": st.fixed_dictionaries({"prompt": st.floats(0, 1)}),
            "preferred_min_throughput": st.floats(0, 200),
        },
    )
)
def test_what_is_chosen_keeps_to_every_wish(wishes: dict[str, Any]) -> None:
    candidates = [*ALL, one(4, quantization="fp8", step_s=0.1)]
    chosen = order(candidates, wishes, Judged(strengths={}))
    assert len(set(chosen)) == len(chosen)
    for number in chosen:
        offer = next(c.posted.offer for c in candidates if c.posted.offer.provider[-1] == number)
        assert name(number) not in wishes.get("ignore", ())
        assert name(number) in wishes.get("only", [name(number)])
        assert offer.input_price <= wishes.get("max_price", {}).get("prompt", 1) * DOLLAR
        assert ("fp8" if number == 4 else "bf16") in wishes.get("quantizations", QUANTIZATIONS)
        if not wishes.get("allow_fallbacks", True) and wishes.get("order"):
            assert name(number) in wishes["order"]
    if "allow_fallbacks" in wishes and not wishes["allow_fallbacks"] and not wishes.get("order"):
        assert len(chosen) <= 1
    if wishes.get("allow_fallbacks", True) and not wishes.keys() & {
        "only",
        "ignore",
        "max_price",
        "quantizations",
    }:
        assert len(chosen) == len(candidates)


def test_a_body_without_a_model_may_have_models() -> None:
    ask = read_ask(CHAT_PATH, b'{"models": ["m", "n"], "messages": []}')
    assert (ask.model, ask.fallbacks) == ("m", ("n",))
    with pytest.raises(MalformedRequest):
        read_ask(CHAT_PATH, b'{"models": [], "messages": []}')
    with pytest.raises(MalformedRequest):
        read_ask(CHAT_PATH, b'{"model": 1, "models": ["m"]}')


# ------------------------------------------------------------------------------------------ over HTTP


class Listening(FakeProvider):
    """Keeps what it was asked."""

    def said_whole(self, body: dict[str, Any]) -> bytes:
        self.asked = body
        return super().said_whole(body)

    def sells(self, model: str, world: Any) -> "Listening":
        """Another model than the others."""
        was = self.offer_hash
        self.offer = replace(self.offer, model=model)
        self.offer_hash = self.offer.struct_hash()
        place = next(i for i, item in enumerate(world.chain.posted) if item.offer_hash == was)
        world.chain.posted[place] = PostedOffer(
            offer=self.offer, offer_hash=self.offer_hash, stake=self.stake
        )
        return self


class Unable(FakeProvider):
    """Its engine cannot do what is asked."""

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        handler._json(400, {"error": {"message": "too long for me", "type": "BadRequestError", "code": 400}})
        return True


def test_no_provider_sees_the_wishes(world: Any, ask: Callable[..., Any]) -> None:
    cheap, dear = world.provider(Listening, price=1_000), world.provider(Listening, price=9_000)
    wishes = {"order": [to_hex(dear.key.address)], "max_price": {"prompt": 1}}
    with httpx2.Client(transport=world.transport()) as client:
        answer = client.post(URL, json=ask(provider=wishes, models=["other"]))
    assert answer.status_code == 200
    assert not dear.asked.keys() & {"provider", "models"}
    assert cheap.worked == 0


@pytest.mark.parametrize("wish", ["quality", {"by": "quality", "partition": "none"}])
def test_the_best_by_duels_is_taken_whatever_it_costs(
    world: Any, ask: Callable[..., Any], wish: object
) -> None:
    """Of two that are as good, the cheaper one."""
    bad, good, dear = (world.provider(price=price) for price in (1_000_000, 5_000_000, 9_000_000))
    known = {bad.key.address: -0.2, good.key.address: 3.0, dear.key.address: 2.0}
    with httpx2.Client(transport=world.transport(rule=Judged(strengths=known))) as client:
        plain = client.post(URL, json=ask())
        sorted_ = client.post(URL, json=ask(provider={"sort": wish}))
    assert (plain.headers["tallystick-provider"], sorted_.headers["tallystick-provider"]) == (
        to_hex(bad.key.address),
        to_hex(good.key.address),
    )
    assert dear.worked == 0


def test_who_knows_of_no_duels_says_so(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    with httpx2.Client(transport=world.transport()) as client:
        answer = client.post(URL, json=ask(provider={"sort": "quality"}))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed-request")
    assert "no duels" in answer.json()["error"]["message"]
    assert provider.worked == 0


def test_a_wish_that_means_nothing_is_a_clear_refusal(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    with httpx2.Client(transport=world.transport()) as client:
        answer = client.post(URL, json=ask(provider={"sort": "beauty"}))
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "malformed-request"
    assert "provider.sort" in answer.json()["error"]["message"]
    assert provider.worked == 0


@pytest.mark.parametrize(
    ("wishes", "wish"),
    [
        ({"max_price": {"prompt": 0.5}}, "max_price"),
        ({"only": ["nobody.example"], "max_price": {"prompt": 0.5}}, "only"),
        ({"ignore": ["127.0.0.1"]}, "ignore"),
        ({"quantizations": ["fp4"]}, "quantizations"),
        ({"require_parameters": True}, "require_parameters"),
        ({"order": ["nobody.example"], "allow_fallbacks": False}, "order"),
    ],
)
def test_where_nobody_is_as_wished_nobody_is_asked_and_it_is_said(
    world: Any, ask: Callable[..., Any], wishes: dict[str, Any], wish: str
) -> None:
    provider = world.provider()
    with httpx2.Client(transport=world.transport()) as client:
        error = client.post(URL, json=ask(provider=wishes))
        nowhere = client.post(URL, json=ask(model="nobody-has-this", provider=wishes))
    assert (error.status_code, error.json()["error"]["code"]) == (503, "no-eligible-offer")
    assert f"meets the wishes in `provider`: `{wish}`" in error.json()["error"]["message"]
    assert "Nobody offers 'nobody-has-this' now." in nowhere.json()["error"]["message"]
    assert provider.worked == 0


def test_the_wish_that_left_out_the_last_ones_is_named(world: Any, ask: Callable[..., Any]) -> None:
    world.provider(price=1_000)
    dear = world.provider(price=9_000_000)
    wishes = {"ignore": [to_hex(dear.key.address)], "quantizations": ["fp4"]}
    with httpx2.Client(transport=world.transport()) as client:
        error = client.post(URL, json=ask(provider=wishes)).json()["error"]
    assert "`quantizations` leaves nobody" in error["message"]


@pytest.mark.parametrize("manner", [{"hedges": True}, {"continue": True, "to": "whom"}])
def test_a_manner_that_is_not_known_is_a_clear_refusal(
    world: Any, ask: Callable[..., Any], manner: dict[str, Any]
) -> None:
    provider = world.provider()
    with httpx2.Client(transport=world.transport()) as client:
        answer = client.post(URL, json=ask(tallystick=manner))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed-request")
    assert f"`tallystick.{list(manner)[-1]}` is not known" in answer.json()["error"]["message"]
    assert provider.worked == 0


def test_another_model_answers_where_the_first_is_not_sold(world: Any, ask: Callable[..., Any]) -> None:
    other = world.provider(Listening).sells("other", world)
    with httpx2.Client(transport=world.transport()) as client:
        answer = client.post(URL, json=ask(models=["nobody-has-this", "other"]))
    assert answer.status_code == 200
    assert other.asked["model"] == "other"


def test_another_model_answers_where_the_engine_of_the_first_cannot(
    world: Any, ask: Callable[..., Any]
) -> None:
    unable, other = world.provider(Unable), world.provider(Listening).sells("other", world)
    with httpx2.Client(transport=world.transport()) as client:
        answer = client.post(URL, json=ask(models=["other"]))
        alone = client.post(URL, json=ask())
    assert answer.status_code == 200
    assert answer.headers["tallystick-provider"] == to_hex(other.key.address)
    assert unable.issued == 0
    assert alone.status_code == 400
    assert "too long for me" in alone.text


def test_what_is_too_long_for_one_engine_goes_on_to_one_of_more_context_alone(
    world: Any, ask: Callable[..., Any]
) -> None:
    unable = [world.provider(Unable, price=price, context=2_000) for price in (100_000, 200_000)]
    roomy = world.provider(Listening, price=900_000, context=9_000)
    with httpx2.Client(transport=world.transport(rule=cheapest)) as client:
        answer = client.post(URL, json=ask("tell " * 500))
        short = client.post(URL, json=ask())
    assert answer.headers["tallystick-provider"] == to_hex(roomy.key.address)
    assert (short.status_code, roomy.worked) == (400, 1), "so short a one is no longer for another"
    assert [provider.seen["/v1/chat/completions"] for provider in unable] == [2, 0]


def test_a_rule_is_told_what_the_market_is_and_what_answers_were(world: Any, ask: Callable[..., Any]) -> None:
    told: list[Wanted] = []

    def rule(candidates: Sequence[Candidate], wanted: Wanted) -> Sequence[Choice]:
        told.append(wanted)
        return cheapest(candidates, wanted)

    world.provider()
    with httpx2.Client(transport=world.transport(rule=rule)) as client:
        for _ in range(2):
            client.post(URL, json=ask("one two three four"))
    first, second = told
    assert (first.minimum_stake, first.unit) == (1, 1_000_000)
    assert (first.typical_output, second.typical_output) == (256, 4)
    assert first.seed != second.seed
