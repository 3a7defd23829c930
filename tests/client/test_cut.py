"""An answer that its provider ends before its end never looks whole; what came of it is paid."""

from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import DefaultHttpxClient, OpenAI

from tallystick.client.client import Client
from tallystick.client.errors import AnswerCut
from tallystick.client.transport import BASE_URL


def openai_over(transport: Any) -> OpenAI:
    http = DefaultHttpxClient(transport=transport)
    return OpenAI(base_url=BASE_URL, api_key="-", http_client=http, max_retries=0)


def test_a_cut_stream_ends_with_an_error(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(mishap="engine")
    said: list[str] = []
    with openai_over(world.transport()) as client:
        stream = client.chat.completions.create(**ask("one two three four"), stream=True)
        with pytest.raises(openai.APIError) as caught:
            said.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert caught.value.code == "answer-cut"
    assert "".join(said) == "one two three "
    assert provider.paid == provider.issued > 0


def test_a_cut_answer_that_was_streamed_underneath_is_an_error(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(mishap="engine", credit=1_000)
    outcomes: list[Any] = []
    with (
        openai_over(world.transport(on_outcome=outcomes.append)) as client,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        client.chat.completions.create(**ask("one two three four", max_tokens=2_000))
    assert (caught.value.status_code, caught.value.code) == (502, "answer-cut")
    (outcome,) = outcomes
    assert provider.paid == provider.issued == outcome.cost > 0
    assert outcome.cut
    assert provider.worked == 1


def test_the_client_raises_it(world: Any) -> None:
    world.provider(mishap="engine")
    said: list[str] = []
    with (
        Client.of(world.session()) as client,
        client.stream_chat(world.model, "one two three four") as stream,
    ):
        with pytest.raises(AnswerCut):
            said.extend(stream.texts())
        assert stream.outcome.cut
    assert "".join(said) == "one two three "
