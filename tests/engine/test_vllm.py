"""The embedded engine against real vLLM, on the same model: the same tokens, log-probabilities and shapes."""

import asyncio
import json
import math
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick.protocol import judging
from tallystick.protocol.finding import Verdict
from tallystick.protocol.signed import Key
from tallystick.tokenizer import Vocabulary
from tallystick_node.engine.upstream import Upstream
from tallystick_node.local.calibrate.copies import quantised
from tallystick_node.local.process import free_ports
from tallystick_node.quality.asking import own_engine
from tallystick_node.quality.auditor import Auditor
from tests.audits.serving import SHIPPED, Now, answers, engine_of
from tests.audits.showing import DOMAIN, PROVIDER
from tests.engine.conftest import Json, Served
from tests.engine.recounting import as_sent, requests, require_honest

ROOT = Path(__file__).parent.parent.parent
GOOD = ROOT / "tests" / "models" / "good"
SLOWEST_START = 600
"""Seconds. The first start after an install compiles; later ones take a tenth of this."""
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
QUESTIONS = [
    "What is the capital of Kenya?",
    "What is 2 plus 3?",
    "What does ls do?",
    "Spell file.",
    "é €",
]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.vllm,
    pytest.mark.skipif(not (ROOT / ".venv-vllm" / "stamp").is_file(), reason="needs scripts/install vllm"),
]


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a vLLM that serves the same model, in the precision that the embedded engine computes in."""
    (port,) = free_ports(1)
    log = tmp_path_factory.mktemp("vllm") / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [ROOT / "scripts" / "vllm", GOOD, "good", str(port), "--dtype", "float32"],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + SLOWEST_START
        while not healthy(url):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.2)
        yield url
        process.terminate()
        process.wait(30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health") as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def ask(url: str, path: str, **fields: object) -> str:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + path, json.dumps(fields).encode(), headers)
    try:
        with urllib.request.urlopen(request) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def chatting(question: str, **fields: object) -> Json:
    return {"model": "good", "messages": [{"role": "user", "content": question}], **fields}


def told(text: str) -> list[Json]:
    """The one body, or the chunks of a stream."""
    if not text.startswith("data: "):
        return [json.loads(text)]
    events = text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


def differences(mine: object, its: object, place: str = "") -> list[str]:
    """Where `mine` has what `its` lacks, or has it of another type. None is as good as nothing."""
    match mine, its:
        case None, _:
            return []
        case dict(), dict():
            return [found for key in mine for found in differences(mine[key], its.get(key), f"{place}.{key}")]
        case list(), list() if len(mine) == len(its):
            pairs = enumerate(zip(mine, its, strict=True))
            return [found for i, (one, other) in pairs for found in differences(one, other, f"{place}.{i}")]
        case _:
            return [] if type(mine) is type(its) else [f"{place}: {mine!r} where vLLM has {its!r}"]


async def test_greedy_answers_are_vllms(vllm: str, embedded: Served) -> None:
    for question in QUESTIONS:
        asked = chatting(
            question, temperature=0, max_tokens=60, logprobs=True, top_logprobs=5, return_token_ids=True
        )
        theirs, ours = json.loads(ask(vllm, CHAT, **asked)), await embedded.body(CHAT, **asked)
        assert ours["prompt_token_ids"] == theirs["prompt_token_ids"]
        assert ours["usage"] == {key: theirs["usage"][key] for key in ours["usage"]}
        one, other = ours["choices"][0], theirs["choices"][0]
        for key in ("token_ids", "finish_reason", "stop_reason"):
            assert one[key] == other[key]
        assert one["message"]["content"] == other["message"]["content"]
        for mine, its in zip(one["logprobs"]["content"], other["logprobs"]["content"], strict=True):
            assert mine["token"] == its["token"]
            assert mine["logprob"] == pytest.approx(its["logprob"], abs=2e-4)
            likeliest, theirs_likeliest = (
                [score["logprob"] for score in each["top_logprobs"]] for each in (mine, its)
            )
            assert likeliest == pytest.approx(theirs_likeliest, abs=2e-4)


async def test_a_judge_s_engine_says_one_letter(vllm: str, embedded: Served) -> None:
    """Also where it would rather say something else: the answer is constrained in both."""
    for body in judging.requests("good", QUESTIONS[0], "Nairobi.", "Mombasa."):
        asked = json.loads(body)
        theirs, ours = json.loads(ask(vllm, CHAT, **asked)), await embedded.body(CHAT, **asked)
        said = [answer["choices"][0]["message"]["content"] for answer in (theirs, ours)]
        assert said[0] == said[1] == judging.letter_of(theirs)
        assert theirs["usage"]["completion_tokens"] == ours["usage"]["completion_tokens"] == 1


async def test_audits_agree_with_vllms(vllm: str, embedded: Served) -> None:
    answer = await embedded.body(
        CHAT, **chatting(QUESTIONS[0], seed=3, max_tokens=40, ignore_eos=True, return_token_ids=True)
    )
    prompt = [*answer["prompt_token_ids"], *answer["choices"][0]["token_ids"]]
    asked = {"model": "good", "prompt": prompt, "max_tokens": 1, "prompt_logprobs": 1, "temperature": 0}
    theirs = json.loads(ask(vllm, COMPLETIONS, **asked))["choices"][0]["prompt_logprobs"]
    ours = (await embedded.body(COMPLETIONS, **asked))["choices"][0]["prompt_logprobs"]
    assert ours[0] is theirs[0] is None
    for token, mine, its in zip(prompt[1:], ours[1:], theirs[1:], strict=True):
        one, other = mine[str(token)], its[str(token)]
        assert one["logprob"] == pytest.approx(other["logprob"], abs=5e-4)
        assert math.isclose(one["rank"], other["rank"], rel_tol=0.01, abs_tol=1)


async def test_shapes_are_vllms(vllm: str, embedded: Served) -> None:
    """Everything that the embedded engine says, vLLM says in the same place, and of the same type."""
    usage = {"include_usage": True, "continuous_usage_stats": True}
    streamed = {"temperature": 0, "max_tokens": 3, "stream": True, "stream_options": usage}
    details = {"return_token_ids": True, "temperature": 0, "max_tokens": 3, "prompt_logprobs": 1}
    completion = {"model": "good", "prompt": "The file is"}
    for path, asked in (
        (CHAT, chatting(QUESTIONS[0], logprobs=True, top_logprobs=1, **details)),
        (CHAT, chatting(QUESTIONS[0], logprobs=True, top_logprobs=1, **streamed)),
        (COMPLETIONS, {**completion, "logprobs": 1, **details}),
        (COMPLETIONS, {**completion, "logprobs": 1, **streamed, "return_token_ids": True}),
        (COMPLETIONS, {**completion, "echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0}),
        (CHAT, chatting(QUESTIONS[0], max_tokens=5000)),
        (CHAT, chatting("word " * 1100)),
        (CHAT, {**chatting("Hi"), "model": "other"}),
    ):
        async with embedded.session.post(embedded.url + path, json=asked) as response:
            ours, theirs = told(await response.text()), told(ask(vllm, path, **asked))
        joined = len(ours) - len(theirs)  # vLLM joins tokens that pile up while its server is busy.
        assert joined == 0 or (asked.get("stream") and 0 < joined <= 2)
        for mine, its in zip(ours[:1] + ours[1 + joined :], theirs, strict=True):
            assert not differences(mine, its)


async def test_their_models_are_told_alike(vllm: str, embedded: Served) -> None:
    async with embedded.session.get(f"{vllm}/v1/models") as response:
        (theirs,) = (await response.json())["data"]
    (ours,) = json.loads((await embedded.get("/v1/models"))[1])["data"]
    assert ours.keys() <= theirs.keys()
    assert (ours["id"], ours["max_model_len"]) == (theirs["id"], theirs["max_model_len"])


@pytest.mark.parametrize("stream", [False, True])
async def test_a_payer_with_the_tokenizer_counts_what_vllm_counts(
    vllm: str, vocabulary: Vocabulary, stream: bool
) -> None:
    """In a whole answer as at every point of a stream where a receipt could come."""

    async def judge(path: str, fields: Json) -> None:
        read, body = as_sent(path, fields, stream=stream)
        require_honest(vocabulary, read, told(await asyncio.to_thread(lambda: ask(vllm, path, **body))))

    async with asyncio.TaskGroup() as group:
        for path, fields in requests("good"):
            group.create_task(judge(path, fields))


async def test_vllm_audits_an_honest_provider_and_a_rounded_copy(vllm: str, tmp_path: Path) -> None:
    """The auditor's engine is vLLM; the providers' is ours, which is another implementation of the same
    model."""
    upstream, key = Upstream(vllm), Key.generate()
    auditor = Auditor(
        key=key,
        address=key.address,
        domain=DOMAIN,
        ask=own_engine(upstream),
        engine_model="good",
        scales=SHIPPED,
        sampler=SHIPPED.sampler,
        clock=Now(),
    )
    try:
        for bits, verdict in ((None, Verdict.CLEAR), (8, Verdict.STRIKE), (4, Verdict.STRIKE)):
            copy = GOOD if bits is None else quantised(GOOD, tmp_path / str(bits), bits=bits)
            async with engine_of(copy) as provider:
                said = await answers(provider, logprobs=True)
            opinion, finding = await auditor.audit(said, PROVIDER.address)
            assert opinion.verdict is verdict, opinion.evidence
            assert finding.message.verdict == verdict
    finally:
        await upstream.close()
