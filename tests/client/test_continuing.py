"""An answer that breaks off is gone on with elsewhere, where the caller allows it: one answer, all paid."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx2
import openai
import orjson
import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI

from tallystick.client.ask import COMPLETIONS_PATH, read_ask
from tallystick.client.client import Client
from tallystick.client.continuing import SoFar
from tallystick.client.transport import BASE_URL, Transport
from tallystick.protocol.units import Tokens
from tallystick.protocol.wire import read_authorization
from tests.client.provider import FakeProvider
from tests.client.serving import Handler

GO_ON = {"tallystick": {"continue": True}}
TEXT = "one two three four five six seven"


class Dies(FakeProvider):
    """Says so many words of each stream, and then its machine is gone for good."""

    words = 3

    def said(self, body: dict[str, Any]) -> Any:
        for number, payload in enumerate(super().said(body)):
            if number == self.words:
                self.gone = True
                raise ConnectionResetError
            yield payload

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        if self.gone:
            handler.hang_up()
        return bool(self.gone)

    gone = False


class BreaksOffAndBillsAll(FakeProvider):
    """Says a word and hangs up. Whoever asks then what came of it gets all of it, and the bill."""

    def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
        credential = read_authorization(handler.headers["Authorization"])
        side = self.sides[credential.voucher.message.channel_id]
        nonce = credential.voucher.message.acknowledgement.request_nonce
        if credential.fetch and nonce not in side.records:
            self.acknowledge(side, credential.voucher, bare=False)
            body = orjson.loads(raw)
            record, held = handler._admitted(self, side, body, raw, credential.voucher.message)
            handler._stream(self, side, record, body, held)
        elif not credential.fetch:
            handler.head("text/event-stream")
            for payload in list(self.said(orjson.loads(raw)))[:2]:
                handler.chunk(b"data: " + payload + b"\n\n")
            self.breaks_off(handler)
        return not credential.fetch or nonce in side.records

    def breaks_off(self, handler: Handler) -> None:
        handler.hang_up()


class FallsSilentAndBillsAll(BreaksOffAndBillsAll):
    """The same, as if the way to its machine were cut."""

    def breaks_off(self, handler: Handler) -> None:
        handler.connection.recv(1)
        handler.hang_up()


def over(transport: Transport, **options: Any) -> OpenAI:
    http = DefaultHttpxClient(transport=transport)
    return OpenAI(base_url=BASE_URL, api_key="-", http_client=http, max_retries=0, **options)


def text_of(chunks: Any) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@pytest.mark.parametrize("how", ["dies", "engine", "stalls"])
def test_a_stream_goes_on_as_if_nothing_had_been(world: Any, ask: Callable[..., Any], how: str) -> None:
    if how == "dies":
        first = world.provider(Dies, price=1)
    else:
        first = world.provider(price=1, mishap={"engine": "engine", "stalls": "stall"}[how])
    second = world.provider()
    outcomes: list[Any] = []
    transport = world.transport(on_outcome=outcomes.append)
    with over(transport, timeout=httpx2.Timeout(60, read=2)) as client:
        stream = client.chat.completions.create(
            **ask(TEXT, max_tokens=20), stream=True, stream_options={"include_usage": True}, extra_body=GO_ON
        )
        chunks = list(stream)
        first.mishap = ""
        first.hold.set()
    assert text_of(chunks) == "one two three four five six seven "
    assert {chunk.id for chunk in chunks} == {"x"}
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens == 7
    assert usage.prompt_tokens == 10 + 23  # as each of the two engines counted
    (outcome,) = outcomes
    assert [part.provider for part in (*outcome.earlier, outcome)] == [first.key.address, second.key.address]
    assert outcome.done
    assert not outcome.cut
    assert chunks[-1].tallystick["earlier"][0]["provider"] == "0x" + first.key.address.hex()
    assert second.paid == second.issued > 0
    assert first.paid in (0, first.issued)


def test_nobody_goes_on_unless_the_caller_says_so(world: Any, ask: Callable[..., Any]) -> None:
    world.provider(price=1, mishap="engine")
    second = world.provider()
    with over(world.transport(continues=True)) as client:
        stream = client.chat.completions.create(
            **ask(TEXT), stream=True, extra_body={"tallystick": {"continue": False}}
        )
        with pytest.raises(openai.APIError) as caught:
            list(stream)
    assert caught.value.code == "answer-cut"
    assert second.worked == 0


def test_where_nobody_is_left_the_caller_learns_how_it_broke(world: Any, ask: Callable[..., Any]) -> None:
    first, second = (world.provider(price=price, mishap="engine") for price in (1, 2))
    outcomes: list[Any] = []
    with over(world.transport(continues=True, on_outcome=outcomes.append)) as client:
        stream = client.chat.completions.create(**ask(TEXT), stream=True)
        said: list[Any] = []
        with pytest.raises(openai.APIError) as caught:
            said.extend(iter(stream))
    assert caught.value.code == "answer-cut"
    assert text_of(said) == "one two three four five six "
    (outcome,) = outcomes
    assert outcome.cut
    assert outcome.cost == first.issued + second.issued == first.paid + second.paid


async def test_the_same_under_an_event_loop(world: Any, ask: Callable[..., Any]) -> None:
    world.provider(Dies, price=1)
    world.provider()
    http = DefaultAsyncHttpxClient(transport=world.transport(continues=True))
    async with AsyncOpenAI(base_url=BASE_URL, api_key="-", http_client=http, max_retries=0) as client:
        stream = await client.chat.completions.create(**ask(TEXT), stream=True)
        assert text_of([chunk async for chunk in stream]) == "one two three four five six seven "


def test_a_whole_answer_that_is_streamed_underneath(world: Any, ask: Callable[..., Any]) -> None:
    """Its parts are put together too."""
    first, second = world.provider(price=1, mishap="engine", credit=1_000), world.provider(credit=10_000)
    with Client.of(world.session(continues=True)) as client:
        answer = client.chat(world.model, TEXT, max_tokens=20_000)
    assert answer.text == "one two three four five six seven "
    assert answer.body["usage"]["completion_tokens"] == 7
    assert answer.cost == first.issued + second.issued == first.paid + second.paid


def test_both_parts_together_stay_within_the_budget_of_one_request(
    world: Any, ask: Callable[..., Any]
) -> None:
    """The rest is not bought where it may cost more than what the first part left."""
    first = world.provider(price=10_000_000, mishap="engine")
    second = world.provider(price=11_000_000)
    with over(world.transport(continues=True, per_request=11_000)) as client:
        stream = client.chat.completions.create(**ask(TEXT, max_tokens=300), stream=True)
        with pytest.raises(openai.APIError):
            list(stream)
    assert first.paid == first.issued > 0
    assert second.worked == 0


def test_who_says_a_word_and_hangs_up_is_paid_for_no_more_than_that(
    world: Any, ask: Callable[..., Any]
) -> None:
    """Its bill for all that it claims to have said then is refused like any other that is not true."""
    prices = {"input_price": 0, "cached_input_price": 0, "credit": 100_000}
    cheat = world.provider(BreaksOffAndBillsAll, price=1_000_000, **prices)
    honest = world.provider(price=1_100_000, **prices)
    words = " ".join(f"w{number}" for number in range(200))
    outcomes: list[Any] = []
    transport = world.transport(continues=True, per_request=600, on_outcome=outcomes.append)
    with over(transport) as client:
        stream = client.chat.completions.create(**ask(words, max_tokens=201), stream=True)
        assert text_of(stream).split() == words.split()
        (outcome,) = outcomes
        (earlier,) = outcome.earlier
        assert earlier.provider == cheat.key.address
        assert earlier.outstanding <= 2 + 64
        world.until(lambda: earlier.refusal is not None)
    assert cheat.paid == 0
    assert honest.paid == honest.issued == outcome.cost == transport.spent
    assert outcome.outstanding == 0


def test_what_one_that_died_is_paid_later_comes_to_the_outcome(world: Any, ask: Callable[..., Any]) -> None:
    """It is cut off after three words, and has them billed to whoever asks what came of it."""
    first = world.provider(price=1_000_000)
    first.drops = 2
    second = world.provider(price=1_100_000)
    outcomes: list[Any] = []
    transport = world.transport(continues=True, on_outcome=outcomes.append)
    with over(transport) as client:
        stream = client.chat.completions.create(**ask(TEXT, max_tokens=20), stream=True)
        assert text_of(stream) == "one two three four five six seven "
        (outcome,) = outcomes
        (earlier,) = outcome.earlier
        world.until(lambda: earlier.done)
    assert earlier.cost == first.paid == first.issued > 0
    assert outcome.cost == first.paid + second.paid == transport.spent
    assert outcome.outstanding == 0


def test_who_falls_silent_and_bills_all_of_it_does_not_pass_the_budget_of_one_request(
    world: Any, ask: Callable[..., Any]
) -> None:
    prices = {"input_price": 0, "cached_input_price": 0, "credit": 100_000}
    cheats = [world.provider(FallsSilentAndBillsAll, price=1_000_000 + n, **prices) for n in range(3)]
    world.provider(price=1_100_000, **prices)
    words = " ".join(f"w{number}" for number in range(200))
    transport = world.transport(continues=True, per_request=450)
    with over(transport, timeout=httpx2.Timeout(60, read=1)) as client:
        stream = client.chat.completions.create(**ask(words, max_tokens=201), stream=True)
        with suppress(openai.APIError):
            list(stream)
        world.until(lambda: sum(cheat.paid for cheat in cheats) >= 400)
    assert transport.spent <= 450


def test_what_is_the_payer_s_own_goes_to_nobody(world: Any, ask: Callable[..., Any]) -> None:
    seen: list[bytes] = []

    class Listens(FakeProvider):
        def handled(self, handler: Handler, path: str, raw: bytes) -> bool:
            seen.append(raw)
            return False

    world.provider(Listens)
    with over(world.transport()) as client:
        client.chat.completions.create(**ask(), extra_body={"tallystick": {"continue": True, "hedge": True}})
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**ask(), extra_body={"tallystick": {"continue": "yes"}})
    assert len(seen) == 1
    assert b'"tallystick"' not in seen[0]


# ------------------------------------------------------------------------------------------------- pure


def said_of(*texts: str, **choice: Any) -> SoFar:
    said = SoFar()
    for text in texts:
        said.joined(b"", {"id": "a", "choices": [{"index": 0, "text": text, "token_ids": [7], **choice}]})
    return said


def asked(**fields: Any) -> Any:
    return read_ask(COMPLETIONS_PATH, orjson.dumps({"model": "m", "max_tokens": 10, **fields}))


def test_a_completion_goes_on_behind_its_prompt() -> None:
    rest = said_of(" two", " three").rest(asked(prompt="one"), Tokens(2), Tokens(1))
    assert rest is not None
    assert (rest.fields["prompt"], rest.limit) == ("one two three", 8)
    rest = said_of(" two", " three").rest(asked(prompt=[1, 2]), Tokens(2), Tokens(2))
    assert rest is not None
    assert rest.fields["prompt"] == [1, 2, 7, 7]


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"echo": True},
        {"logprobs": 1},
        {"suffix": "end"},
        {"response_format": {"type": "json_object"}},
        {"max_tokens": 2},
        {"prompt": ["one", "two"]},
        {"guided_regex": "a*"},
    ],
)
def test_what_cannot_be_taken_up_in_the_middle(fields: dict[str, Any]) -> None:
    assert said_of(" two", " three").rest(asked(**{"prompt": "one", **fields}), Tokens(2), Tokens(1)) is None


@pytest.mark.parametrize("choice", [{"finish_reason": "stop"}, {"index": 1}])
def test_what_has_ended_or_is_several(choice: dict[str, Any]) -> None:
    assert said_of(" two", **choice).rest(asked(prompt="one"), Tokens(1), Tokens(1)) is None


def test_reasons_and_calls_are_not_gone_on_with() -> None:
    for delta in ({"reasoning_content": "because"}, {"tool_calls": [{"index": 0}]}):
        said = SoFar()
        said.joined(b"", {"choices": [{"index": 0, "delta": {"content": "", **delta}}]})
        assert said.rest(asked(prompt="one"), Tokens(1), Tokens(1)) is None
