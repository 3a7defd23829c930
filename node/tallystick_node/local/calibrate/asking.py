"""What engines are asked for a calibration: answers of one, then the same answers held against another.

Answers and distances go to files, line by line, so that a calibration that was cut off goes on where it was.
"""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from tallystick.protocol.finding import Check
from tallystick.protocol.prefill import (
    FARTHEST,
    logprob_distances,
    prefill_body,
    rank_distances,
    read_prefill,
    replay_distances,
)

Json = dict[str, Any]
AT_ONCE: Final = 96
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
_TOPICS: Final = (
    "What is the capital of {}?",
    "Spell {}.",
    "What does {} do?",
    "Explain {}.",
    "{}",
    "Tell me about {}.",
)


def questions(texts: Sequence[str], count: int) -> Iterator[str]:
    """The same ones every time, made of these texts' words."""
    words = re.findall(r"[A-Za-z]{2,}", " ".join(texts))
    draw = random.Random(7)
    for _ in range(count):
        start = draw.randrange(len(words) - 20)
        yield draw.choice(_TOPICS).format(" ".join(words[start : start + draw.randint(1, 16)]))


def body(question: str, index: int, *, max_tokens: int) -> Json:
    """Every other one is sampled, at temperature 1, with a seed of its own."""
    asked: Json = {"messages": [{"role": "user", "content": question}], "max_tokens": max_tokens}
    return asked | ({"temperature": 1.0, "seed": index} if index % 2 else {"temperature": 0})


async def answers(url: str, bodies: Sequence[Json], into: Path) -> None:
    """What a provider says to these, with the log-probabilities of its tokens."""

    async def one(session: aiohttp.ClientSession, index: int) -> Json:
        asked = bodies[index] | {"model": "model", "logprobs": True, "return_token_ids": True}
        reply = orjson.loads(await _post(session, url + CHAT, orjson.dumps(asked)))
        (choice,) = reply["choices"]
        return {
            "body": bodies[index],
            "prompt": reply["prompt_token_ids"],
            "ids": choice["token_ids"],
            "logprobs": [score["logprob"] for score in choice["logprobs"]["content"]],
            "finish": choice["finish_reason"],
        }

    await _rest(len(bodies), into, one)


async def distances(url: str, said: Sequence[Json], into: Path) -> None:
    """How far these answers are from what the model behind `url` does."""

    async def one(session: aiohttp.ClientSession, index: int) -> Json:
        answer = said[index]
        ids = answer["ids"]
        prefill = await _post(session, url + COMPLETIONS, prefill_body(answer["prompt"], ids, "model"))
        forced = read_prefill(prefill, ids)
        found: Json = {}
        if answer["logprobs"]:
            found[Check.LOGPROB.name] = logprob_distances(answer["logprobs"], forced)
        if answer["body"]["temperature"] == 0:
            found[Check.RANK.name] = rank_distances(forced)
        else:
            asked = answer["body"] | {"model": "model", "max_tokens": len(ids), "return_token_ids": True}
            replay = orjson.loads(await _post(session, url + CHAT, orjson.dumps(asked)))
            found[Check.REPLAY.name] = replay_distances(ids, replay["choices"][0]["token_ids"])
            found["scores"] = [max(token.logprob, -float(FARTHEST)) for token in forced]
        return found

    await _rest(len(said), into, one)


async def speed(url: str, bodies: Sequence[Json], **more: object) -> float:
    """Output tokens a second."""
    loop = asyncio.get_running_loop()
    start, tokens = loop.time(), 0
    async with _session() as session:
        for first in range(0, len(bodies), AT_ONCE):
            asked = [
                orjson.dumps(item | {"model": "model"} | more) for item in bodies[first : first + AT_ONCE]
            ]
            replies = await asyncio.gather(*(_post(session, url + CHAT, item) for item in asked))
            tokens += sum(orjson.loads(reply)["usage"]["completion_tokens"] for reply in replies)
    return tokens / (loop.time() - start)


def lines(path: Path) -> list[Json]:
    """All that are whole."""
    if not path.exists():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [orjson.loads(line) for line in whole.split(b"\n") if line]


async def _rest(count: int, into: Path, one: Callable[[aiohttp.ClientSession, int], Awaitable[Json]]) -> None:
    """Those that the file lacks, in order."""
    kept = len(await asyncio.to_thread(_mended, into))
    async with _session() as session:
        for first in range(kept, count, AT_ONCE):
            some = range(first, min(first + AT_ONCE, count))
            found = await asyncio.gather(*(one(session, index) for index in some))
            await asyncio.to_thread(_append, into, found)


def _mended(path: Path) -> list[Json]:
    """Its lines, the last one cut off where it is not whole."""
    kept = lines(path)
    path.write_bytes(b"")
    _append(path, kept)
    return kept


def _append(path: Path, items: Sequence[Json]) -> None:
    with path.open("ab") as file:
        file.writelines(orjson.dumps(item) + b"\n" for item in items)


def _session() -> aiohttp.ClientSession:
    """A connection a request: a busy server may hang up on one that idles just as it is used again."""
    connector = aiohttp.TCPConnector(limit=AT_ONCE, force_close=True)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=600))


async def _post(session: aiohttp.ClientSession, url: str, asked: bytes) -> bytes:
    async with session.post(url, data=asked, headers={"Content-Type": "application/json"}) as response:
        text = await response.read()
        assert response.status == 200, text[:500]
        return text
