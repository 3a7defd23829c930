"""`tally proxy` as a person runs it: curl and an `openai` program spend, Ctrl-C ends it, all is paid."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import openai
import pytest

from tallystick.protocol.units import to_hex
from tallystick_node.local.engines import REPOSITORY, EngineKind
from tallystick_node.local.market import LocalMarket
from tests.warm import Warm

pytestmark = pytest.mark.e2e

TALLY = REPOSITORY / ".venv" / "bin" / "tally"
SLOW = ("--token-delay-ms", "20")
LONG = "word " * 1_600
"""Half a minute of answer: no machine is so busy that it ends before it is interrupted."""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[LocalMarket]:
    folder = tmp_path_factory.mktemp("market")
    with LocalMarket(
        folder=folder,
        engine=EngineKind.ECHO,
        engine_options=SLOW,
        provider_count=2,
        popen=warm.popen,
    ) as market:
        yield market


@dataclass
class Served:
    """A proxy that runs, and what it says at its end."""

    process: subprocess.Popen[str]
    url: str = ""
    said: dict[str, Any] = field(default_factory=dict)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> dict[str, Any]:
        out, err = self.process.communicate(timeout=60)
        assert (self.process.returncode, err) == (0, "")
        self.said = json.loads(out)
        return self.said


def command(*options: str) -> list[str]:
    return [str(TALLY), "proxy", "--budget", "1000000", "--port", "0", "--json", *options]


@contextmanager
def proxy(market: LocalMarket, *options: str, **environment: str) -> Iterator[Served]:
    with subprocess.Popen(
        command(*options),
        env=os.environ | market.environment | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield Served(process, json.loads(process.stdout.readline())["url"])
        finally:
            process.kill()


def curl(url: str, *arguments: str) -> str:
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--noproxy", "*", *arguments, url],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def posted(text: str, **fields: object) -> tuple[str, ...]:
    body = {"model": "echo", "messages": [{"role": "user", "content": text}], **fields}
    return "--header", "Content-Type: application/json", "--data", json.dumps(body)


def test_curl_and_openai_buy_and_every_atom_is_settled(market: LocalMarket) -> None:
    with proxy(market, "--rule", "cheapest", "--continue", "--hedge") as served:
        (model,) = json.loads(curl(f"{served.url}/models"))["data"]
        assert (model["id"], len(model["offers"])) == ("echo", 2)
        answer = json.loads(curl(f"{served.url}/chat/completions", *posted("one two three")))
        assert "two" in answer["choices"][0]["message"]["content"]
        events = curl(f"{served.url}/chat/completions", "--no-buffer", *posted("four five", stream=True))
        assert events.endswith("data: [DONE]\n\n")
        with openai.OpenAI(base_url=served.url, api_key="-") as client:
            question: Any = [{"role": "user", "content": "six seven"}]
            *_, last = client.chat.completions.create(model="echo", messages=question, stream=True)
        served.interrupt()
        said = served.end()
    spent = int(said["spent"])
    assert said["requests"] == 4
    assert spent > answer["tallystick"]["cost"] + last.tallystick["cost"] > 0
    market.stop_gateways()
    settled = sum(market.market_of(market.payer).balance_of(each.address) for each in market.providers)
    assert settled == spent
    market.start_gateways()


def test_a_share_of_what_it_buys_is_answered_twice(market: LocalMarket) -> None:
    """And a request that says so is not."""
    options = ("--rule", "judged", "--duel-share", "1", "--duel-budget", "100000", "--audit-budget", "100000")
    with proxy(market, *options) as served:
        url = f"{served.url}/chat/completions"
        kept = json.loads(curl(url, *posted("one two three", tallystick={"private": True})))
        assert "two" in kept["choices"][0]["message"]["content"]
        assert duels(market) == []
        best = json.loads(curl(url, *posted("four five", provider={"sort": "quality"})))
        assert best["choices"][0]["logprobs"] is None, "what an audit adds is nobody's but the payer's"
        until(lambda: [one["state"] for one in duels(market)] == ["held"])
        served.interrupt()
        served.end()
    (duel,) = duels(market)
    assert {duel[side]["provider"] for side in ("first", "second")} == {
        to_hex(each.address) for each in market.providers
    }


def duels(market: LocalMarket) -> list[dict[str, Any]]:
    """Of the purse that the proxy pays from."""
    told = subprocess.run(
        [str(TALLY), "duels", "--json"],
        env=os.environ | market.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: list[dict[str, Any]] = json.loads(told.stdout)["duels"]
    return found


def until(happened: Callable[[], bool]) -> None:
    """Waits for what another program does."""
    for _ in range(600):
        if happened():
            return
        Event().wait(0.1)
    raise AssertionError("it never happened")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--duel-share", "0.5"), "--duel-budget"),
        (("--rule", "loudest"), "judged"),
        (("--duel-share", "2"), "--duel-share"),
    ],
)
def test_what_it_cannot_do_is_said_before_it_serves(
    market: LocalMarket, options: tuple[str, ...], told: str
) -> None:
    environment = os.environ | market.environment
    done = subprocess.run(command(*options), env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert told in done.stderr + done.stdout


def test_what_another_program_spends_meanwhile_is_not_its_own(market: LocalMarket) -> None:
    with proxy(market) as served, proxy(market) as other:
        for url in (served.url, other.url, other.url):
            curl(f"{url}/chat/completions", *posted("one two three"))
        for each in (served, other):
            each.interrupt()
        spent, others = (int(each.end()["spent"]) for each in (served, other))
    assert spent > 0
    assert others == 2 * spent


def test_interrupted_in_mid_stream_it_lets_the_stream_end(market: LocalMarket) -> None:
    with proxy(market) as served, openai.OpenAI(base_url=served.url, api_key="-") as client:
        question: Any = [{"role": "user", "content": "word " * 50}]
        stream = client.chat.completions.create(model="echo", messages=question, stream=True)
        next(stream)
        served.interrupt()
        assert sum(len(chunk.choices[0].delta.content or "") > 0 for chunk in stream) > 40
        assert int(served.end()["spent"]) > 0


def test_interrupted_twice_it_pays_for_what_came_and_ends(market: LocalMarket) -> None:
    with (
        proxy(market) as served,
        openai.OpenAI(base_url=served.url, api_key="-", max_retries=0) as client,
    ):
        question: Any = [{"role": "user", "content": LONG}]
        stream = client.chat.completions.create(model="echo", messages=question, stream=True)
        next(stream)
        served.interrupt()
        refused(served.url)
        served.interrupt()
        with pytest.raises(openai.APIError):
            list(stream)
        assert int(served.end()["spent"]) > 0


def refused(url: str) -> None:
    """Returns once nothing new is let in: the first signal has been heard."""
    port = int(url.rpartition(":")[2].removesuffix("/v1"))
    for _ in range(3_000):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=60).close()
        except ConnectionRefusedError:
            return
        Event().wait(0.02)
    raise AssertionError("it goes on listening")


def test_a_key_in_the_environment_is_asked_for(market: LocalMarket) -> None:
    with proxy(market, TALLYSTICK_PROXY_KEY="right") as served:
        assert json.loads(curl(f"{served.url}/models"))["error"]["code"] == "key-required"
        allowed = curl(f"{served.url}/models", "--header", "Authorization: Bearer right")
        assert json.loads(allowed)["data"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--host", "0.0.0.0"], "Others could reach"),
        (["--budget", "0"], "buys nothing"),
        (["--tokenizer", "folder"], "MODEL=FOLDER"),
        (["--rule", "best"], "stake-weighted"),
        (["--api-key-file", "/nowhere/key"], "/nowhere/key"),
        (["--api-key-file", "/dev/null"], "anybody could guess"),
    ],
)
def test_what_it_will_not_start_with_is_said(market: LocalMarket, options: list[str], why: str) -> None:
    done = subprocess.run(
        command(*options), env=os.environ | market.environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert why in done.stdout + done.stderr


def test_what_is_left_of_the_budget_is_said(market: LocalMarket, tmp_path: Path) -> None:
    with proxy(market, "--budget", "2000", "--most", "2000") as served:
        told = [json.loads(curl(f"{served.url}/chat/completions", *posted("one " * 60))) for _ in range(2)]
    assert told[0]["tallystick"]["cost"] > 0
    assert told[1]["error"]["code"] in ("total-budget-exceeded", "request-budget-exceeded")
