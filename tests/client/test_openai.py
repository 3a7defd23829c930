"""The unmodified openai package through the transport."""

from typing import Any

from openai import DefaultHttpxClient, OpenAI

from tallystick.client.outcome import outcome_of
from tallystick.client.transport import BASE_URL


def test_a_completion_is_paid_for(world: Any, ask: Any) -> None:
    provider = world.provider()
    transport = world.transport()
    with OpenAI(
        base_url=BASE_URL, api_key="-", http_client=DefaultHttpxClient(transport=transport)
    ) as client:
        completion = client.chat.completions.create(**ask("one two three"))
    assert completion.choices[0].message.content == "one two three "
    assert completion.tallystick["cost"] == provider.issued == provider.acknowledged == provider.paid > 0


def test_a_stream_is_paid_for(world: Any, ask: Any) -> None:
    provider = world.provider()
    transport = world.transport()
    with OpenAI(
        base_url=BASE_URL, api_key="-", http_client=DefaultHttpxClient(transport=transport)
    ) as client:
        stream = client.chat.completions.create(**ask("one two three"), stream=True)
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two three "
    assert chunks[-1].tallystick["cost"] == outcome_of(stream).cost == provider.issued == provider.paid > 0
