"""Buying with the unmodified `openai` package, many requests at a time, every other one streamed.

It knows nothing of payment: that is in the transport of the client it is given.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import httpx2
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

import tallystick

QUESTIONS: Final = (
    "What is the capital of Kenya?",
    "What is the capital of France?",
    "What is 3 plus 4?",
    "What is 7 plus 5?",
    "Count from 1 to 5.",
    "How do you spell river?",
    "What does ls do?",
    "What does grep do?",
)
MAX_TOKENS: Final = 24
_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """One answer."""

    question: str
    answer: str
    streamed: bool


def openai_client(transport: httpx2.AsyncBaseTransport) -> AsyncOpenAI:
    """The package as anybody uses it. It owns the transport from here on, and closes it."""
    http_client = DefaultAsyncHttpxClient(transport=transport)
    return AsyncOpenAI(base_url=tallystick.BASE_URL, api_key="-", http_client=http_client, timeout=_TIMEOUT_S)


async def buy(
    client: AsyncOpenAI,
    *,
    model: str,
    requests: int,
    parallel: int,
    heard: Callable[[Bought], None] = lambda _: None,
) -> Sequence[Bought]:
    """All answers, in the order in which they were asked for; raises what `openai` raises."""
    turns = asyncio.Semaphore(parallel)

    async def one(number: int) -> Bought:
        async with turns:
            bought = await _ask(client, model, QUESTIONS[number % len(QUESTIONS)], streamed=number % 2 == 1)
        heard(bought)
        return bought

    return await asyncio.gather(*(one(number) for number in range(requests)))


async def _ask(client: AsyncOpenAI, model: str, question: str, *, streamed: bool) -> Bought:
    if streamed:
        stream = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": question}],
            max_tokens=MAX_TOKENS,
            temperature=0,
            stream=True,
        )
        parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
        answer = "".join(parts)
    else:
        completion = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": question}],
            max_tokens=MAX_TOKENS,
            temperature=0,
        )
        answer = completion.choices[0].message.content or ""
    return Bought(question=question, answer=answer, streamed=streamed)
