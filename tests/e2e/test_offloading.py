"""The default policy on a real market: own users' requests go where they are answered sooner, by what the
nodes say of themselves, and stay at home where that saves atoms and costs no time."""

import asyncio
import json
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest

from tallystick.protocol.units import Atoms, to_hex
from tallystick_node.local.engines import EngineKind
from tallystick_node.local.market import LocalMarket, Make
from tests.warm import Warm

pytestmark = pytest.mark.e2e

KEY = "tk-of-somebody-at-home"
MS = 10**9
"""In picoseconds."""
SMALL = 512
"""Tokens of context."""
SLOW = {"fixed": 50 * MS, "sequence": 5 * MS}
FAST = {"fixed": 5 * MS}
USERS = """
[users]
keys_env = "HOME_USERS"

[offload]
total = 10_000_000
per_request = 50_000
"""


def make(name: str, speed: dict[str, int], context: int = 4_096, **changes: Any) -> Make:
    """One that says how fast it is, and is, and how much context it has, and has."""
    zero = dict.fromkeys(("fixed", "sequence", "weights", "token", "context", "capacity", "chunk"), 0)
    said = "[engine.speed]\n" + "".join(f"{key} = {value}\n" for key, value in speed.items())
    settings = changes.pop("settings", "") + said
    options = ("--speed", json.dumps(zero | speed), "--max-model-len", str(context))
    return Make(name=name, engine_options=options, context_length=context, settings=settings, **changes)


def question(tokens: int, text: str = "one two") -> dict[str, Any]:
    return {"model": "echo", "messages": [{"role": "user", "content": text}], "max_tokens": tokens}


def provider_of(answer: Any) -> str:
    bought = getattr(answer, "tallystick", None)
    return bought["provider"] if bought else "home"


async def test_requests_go_where_they_are_answered_sooner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: Warm
) -> None:
    monkeypatch.setenv("HOME_USERS", KEY)
    makes = (make("home", SLOW, SMALL, deposit=Atoms(20_000_000), settings=USERS), make("other", FAST))
    with LocalMarket(folder=tmp_path, engine=EngineKind.ECHO, makes=makes, popen=warm.popen) as market:
        home, other = market.providers
        http = openai.DefaultAsyncHttpxClient(verify=False, trust_env=False)
        async with openai.AsyncOpenAI(
            base_url=f"{home.url}/v1", api_key=KEY, http_client=http, max_retries=0
        ) as client:

            async def ask(tokens: int, text: str = "one two") -> str:
                return provider_of(await client.chat.completions.create(**question(tokens, text)))

            deadline = time.monotonic() + 180
            while await ask(60) == "home":  # Three seconds here, and a third of one there.
                assert time.monotonic() < deadline, "the nodes do not hear of one another"
            assert [await ask(60) for _ in range(3)] == [to_hex(other.address)] * 3
            assert [await ask(8) for _ in range(3)] == ["home"] * 3

            # What the engine at home does not hold, however short: of one the answer, of one the prompt.
            assert [await ask(SMALL + 1), await ask(8, "word " * SMALL)] == [to_hex(other.address)] * 2
            for tokens, text in ((4_097, "one two"), (8, "word " * 40_000)):
                with pytest.raises(openai.BadRequestError, match="context"):
                    await ask(tokens, text)

            crowd = Counter(await asyncio.gather(*(ask(8) for _ in range(24))))
            assert crowd["home"] >= 4, "an idle engine takes what it answers in time"
            assert crowd[to_hex(other.address)] >= 4, "and what would make it slow is bought"
            assert await ask(8) == "home", "once they are through"


async def test_a_share_of_what_is_bought_is_put_to_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: Warm
) -> None:
    """Behind the user's back, by the very node that it asked, and of neither is it itself."""
    monkeypatch.setenv("HOME_USERS", KEY)
    judged = USERS + "duel_share = 1\nduel_budget = 1_000_000\naudit_budget = 1_000_000\n"
    makes = (
        make("home", SLOW, deposit=Atoms(20_000_000), cash=Atoms(1_000_000), settings=judged),
        make("one", FAST),
        make("two", FAST),
    )
    with LocalMarket(folder=tmp_path, engine=EngineKind.ECHO, makes=makes, popen=warm.popen) as market:
        home = market.providers[0]
        http = openai.DefaultAsyncHttpxClient(verify=False, trust_env=False)
        async with openai.AsyncOpenAI(
            base_url=f"{home.url}/v1", api_key=KEY, http_client=http, max_retries=0
        ) as client:

            async def ask(**own: bool) -> str:
                extra = {"tallystick": own}
                return provider_of(await client.chat.completions.create(**question(60), extra_body=extra))

            async def bought(**own: bool) -> None:
                deadline = time.monotonic() + 180
                while await ask(**own) == "home":
                    assert time.monotonic() < deadline, "the nodes do not hear of one another"

            await bought(private=True)
            (file,) = home.config.parent.glob("origin/**/purse.db")
            assert pairs(file) == 0
            await bought()
            deadline = time.monotonic() + 180
            while pairs(file) == 0:
                assert time.monotonic() < deadline, "nobody else was asked"
                await asyncio.sleep(0.1)


def pairs(file: Path) -> int:
    """Answers that a purse holds with another provider's to the same request."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        (count,) = database.execute("SELECT count(*) FROM pairs WHERE sealed IS NOT NULL").fetchone()
    return int(count)
