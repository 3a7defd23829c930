"""Many requests at once: on one channel, within the credit, within the budget, over several processes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import httpx2
import openai
import pytest
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI

from tallystick.client.transport import BASE_URL
from tallystick.protocol.units import to_hex

CHILD = Path(__file__).with_name("child.py")


def test_threads_share_one_channel_within_the_credit(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(credit=1_500, price=1_000_000)
    http = DefaultHttpxClient(transport=world.transport())
    with (
        OpenAI(base_url=BASE_URL, api_key="-", http_client=http, max_retries=0) as client,
        ThreadPoolExecutor(16) as pool,
    ):

        def one(i: int) -> int:
            stream = client.chat.completions.create(**ask(f"{i} " * (i + 1)), stream=True)
            return sum(1 for chunk in stream if chunk.choices[0].delta.content)

        provider.hold.clear()
        answers = [pool.submit(one, i) for i in range(40)]
        world.until(lambda: provider.seen["credit-exceeded"])
        provider.hold.set()
        assert [answer.result() for answer in answers] == [i + 1 for i in range(40)]
    assert len(provider.sides) == 1
    assert provider.worked == 40
    assert provider.issued == provider.paid == spent(world)


async def test_tasks_share_one_channel(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(credit=4_000)
    http = DefaultAsyncHttpxClient(transport=world.transport())
    answers: dict[int, str] = {}

    async with AsyncOpenAI(base_url=BASE_URL, api_key="-", http_client=http, max_retries=0) as client:

        async def one(i: int) -> None:
            completion = await client.chat.completions.create(**ask(f"n{i}"))
            answers[i] = completion.choices[0].message.content or ""

        async with anyio.create_task_group() as group:
            for i in range(40):
                group.start_soon(one, i)
    assert answers == {i: f"n{i} " for i in range(40)}
    assert provider.issued == provider.paid == spent(world)


def test_a_provider_whose_credit_is_used_up_is_passed_over(world: Any, ask: Callable[..., Any]) -> None:
    cheap = world.provider(price=1_000_000, credit=400)
    dear = world.provider(price=2_000_000)
    cheap.hold.clear()
    http = DefaultHttpxClient(transport=world.transport())
    with (
        OpenAI(base_url=BASE_URL, api_key="-", http_client=http) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        first = pool.submit(client.chat.completions.create, **ask("one"))
        world.until(lambda: cheap.worked)
        second = client.chat.completions.create(**ask("two"))
        assert second.tallystick["provider"] == to_hex(dear.key.address)
        cheap.hold.set()
        assert first.result().choices[0].message.content == "one "


# --------------------------------------------------------------------------------------------- the budget


def test_a_request_over_the_budget_is_not_sent(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    http = DefaultHttpxClient(transport=world.transport(per_request=100))
    with (
        OpenAI(base_url=BASE_URL, api_key="-", http_client=http) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.chat.completions.create(**ask("one two", max_tokens=100))
    assert (caught.value.status_code, caught.value.code) == (402, "request-budget-exceeded")
    assert provider.bytes_seen == 0


def test_an_unlimited_request_is_limited_by_the_budget(world: Any, ask: Callable[..., Any]) -> None:
    """The caller set no `max_tokens`: the answer ends where the money does."""
    provider = world.provider(context=10_000)
    http = DefaultHttpxClient(transport=world.transport(per_request=1_500))
    body = ask("a " * 300)
    del body["max_tokens"]
    with OpenAI(base_url=BASE_URL, api_key="-", http_client=http) as client:
        completion = client.chat.completions.create(**body)
    assert 0 < len((completion.choices[0].message.content or "").split()) < 300
    assert provider.paid == provider.issued <= 1_500


def test_the_total_is_never_exceeded(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider(price=10_000_000)
    total = 30_000
    codes: list[Any] = []
    http = DefaultHttpxClient(transport=world.transport(total=total, per_request=15_000))
    with (
        OpenAI(base_url=BASE_URL, api_key="-", http_client=http, max_retries=0) as client,
        ThreadPoolExecutor(8) as pool,
    ):

        def one(i: int) -> None:
            try:
                client.chat.completions.create(**ask("word " * 50))
            except openai.APIStatusError as error:
                codes.append((error.status_code, error.code))

        list(pool.map(one, range(60)))
    assert set(codes) == {(402, "total-budget-exceeded")}
    assert provider.paid == provider.issued == spent(world)
    assert total // 2 < provider.paid <= total


def test_the_deposit_is_too_small(world: Any, ask: Callable[..., Any]) -> None:
    provider = world.provider()
    world.chain.free = 10
    http = DefaultHttpxClient(transport=world.transport())
    with (
        OpenAI(base_url=BASE_URL, api_key="-", http_client=http) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.chat.completions.create(**ask("one"))
    assert (caught.value.status_code, caught.value.code) == (503, "deposit-too-small")
    assert provider.bytes_seen == 0


def test_caps_stay_within_deposit_and_budget(world: Any, ask: Callable[..., Any]) -> None:
    world.chain.free = 5_000
    providers = [world.provider(price=1_000_000, credit=2_000) for _ in range(2)]
    http = DefaultHttpxClient(transport=world.transport(total=4_000, per_request=1_000))
    with OpenAI(base_url=BASE_URL, api_key="-", http_client=http, max_retries=0) as client:
        for _ in range(20):
            client.chat.completions.create(**ask("one", max_tokens=5))
    caps = [side.cap for provider in providers for side in provider.sides.values()]
    assert 0 < sum(caps) <= 5_000
    assert max(caps) <= 4_000


# --------------------------------------------------------------------------------------------- processes


def start(world: Any, mode: str, **options: Any) -> "subprocess.Popen[str]":
    offer = world.chain.posted[0].offer
    told = {
        "home": str(world.home),
        "wallet": world.wallet.secret.hex(),
        "offer": offer.to_json(),
        "mode": mode,
        "total": 10**9,
        "per_request": 10**6,
        **options,
    }
    return subprocess.Popen(
        [sys.executable, str(CHILD), json.dumps(told)], stdout=subprocess.PIPE, text=True, bufsize=1
    )


def test_two_processes_share_one_wallet_and_its_budget(world: Any) -> None:
    provider = world.provider(price=10_000_000)
    total = 30_000
    provider.hold.clear()
    children = [start(world, "work", total=total, per_request=12_000, requests=30) for _ in range(2)]
    world.until(lambda: provider.worked == 2)
    provider.hold.set()
    results = [json.loads(child.communicate(timeout=60)[0]) for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert len(provider.sides) == 2
    assert sum(result["paid"] for result in results) == provider.paid == provider.issued == spent(world)
    assert {code for result in results for code in result["codes"]} == {"total-budget-exceeded"}
    assert total // 2 < provider.paid <= total


def test_a_killed_process_leaves_nothing_behind(world: Any, ask: Callable[..., Any]) -> None:
    """kill -9 in the middle of an answer: the next process takes the channel over, fetches the answer that
    was being paid for, and pays for it once."""
    provider = world.provider()
    provider.hold.clear()
    child = start(world, "hang")
    assert child.stdout is not None
    assert child.stdout.readline() == "started\n"
    world.until(lambda: provider.worked)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=10)
    provider.hold.set()
    transport = world.transport()
    spent_before, reserved = transport.session.purse.spending()
    assert spent_before == 0 < reserved
    with httpx2.Client(transport=transport) as client:
        assert client.post(BASE_URL + "/chat/completions", json=ask("later")).status_code == 200
    assert len(provider.sides) == 1
    assert provider.worked == 2
    assert provider.paid == provider.issued == spent(world) > 0


def spent(world: Any) -> int:
    session = world.session()
    total, reserved = session.purse.spending()
    session.close()
    assert reserved == 0
    return int(total)
