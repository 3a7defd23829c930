"""Asks a real engine, over OpenAI's API, and takes its times: what `fit` needs. It pays nobody."""

import asyncio
import time
from collections.abc import Awaitable
from math import inf
from random import Random
from typing import Final

import aiohttp
import orjson

from tallystick_node.sim.fit import ROUND, Measured
from tallystick_node.sim.spread import followed

_WORDS: Final = ("sun", "river", "stone", "green", "seven", "walks", "under", "light", "paper", "music")
_GIVEN_UP_S: Final = 300.0


class BadLoad(Exception):
    """It is neither so many at a time nor so many a second."""

    def __init__(self, load: str):
        super().__init__(f"A load is a count above 0, as 8, or a rate above 0, as 5/s, and not {load!r}.")


class EngineSilent(Exception):
    """It does not answer, or not as OpenAI's API has it."""


async def measured(
    url: str, model: str, loads: tuple[str, ...], *, seconds: float, longest: int, seed: int
) -> list[Measured]:
    """`loads`: `8` keeps eight requests under way, `5/s` sends five a second, as chance has it; one after
    another, each for so many seconds. One that comes again is a round of its own: `8 #2`. Prompts and answers
    have up to `longest` tokens. Raises BadLoad, EngineSilent."""
    sizes = [_size(load) for load in loads]
    found: list[Measured] = []
    timeout = aiohttp.ClientTimeout(total=_GIVEN_UP_S)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        asking = _Asking(session, url, model, longest, Random(seed))
        await asking.one("warm", 0.0)
        for place, load in followed(enumerate(loads), len(loads), "loads"):
            size = sizes[place]
            before = loads[:place].count(load)
            name = f"{load}{ROUND}{before + 1}" if before else load
            start = time.monotonic()
            found += (
                await _kept(asking, name, size, start, seconds)
                if isinstance(size, int)
                else await _sent(asking, name, size, start, seconds)
            )
    return found


def _size(load: str) -> int | float:
    """So many at a time, or so many a second. Raises BadLoad."""
    try:
        size = float(load[:-2]) if load.endswith("/s") else int(load)
    except ValueError as error:
        raise BadLoad(load) from error
    if not 0 < size < inf:
        raise BadLoad(load)
    return size


async def _kept(asking: "_Asking", load: str, count: int, start: float, seconds: float) -> list[Measured]:
    """So many at a time."""
    found: list[Measured] = []

    async def one_after_another() -> None:
        while time.monotonic() - start < seconds:
            found.append(await asking.one(load, start))

    await asyncio.gather(*(one_after_another() for _ in range(count)))
    return found


async def _sent(asking: "_Asking", load: str, rate: float, start: float, seconds: float) -> list[Measured]:
    """So many a second, whatever comes of those before."""
    under_way: list[Awaitable[Measured]] = []
    due = start
    while (due := due + asking.random.expovariate(rate)) - start < seconds:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        under_way.append(asyncio.ensure_future(asking.one(load, start)))
    return list(await asyncio.gather(*under_way))


class _Asking:
    def __init__(self, session: aiohttp.ClientSession, url: str, model: str, longest: int, random: Random):
        self.random = random
        self._session = session
        self._url = url.rstrip("/") + "/completions"
        self._model = model
        self._longest = longest

    async def one(self, load: str, start: float) -> Measured:
        """Raises EngineSilent."""
        random = self.random
        words = random.choices(_WORDS, k=random.randint(4, max(5, self._longest // 2)))
        body = {
            "model": self._model,
            "prompt": " ".join(words),
            "max_tokens": random.randint(4, self._longest),
            "temperature": 1.0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        sent = time.monotonic()
        first = last = 0.0
        usage = 0, 0
        try:
            async with self._session.post(self._url, json=body) as answer:
                if answer.status != 200:
                    raise EngineSilent(f"{self._url} answers {answer.status}: {(await answer.text())[:200]}")
                async for line in answer.content:
                    if not line.startswith(b"data: {"):
                        continue
                    event = orjson.loads(line[6:])
                    now = time.monotonic()
                    match event:
                        case {"error": dict() | str() as error}:
                            raise EngineSilent(f"{self._url} breaks off: {error}")
                        case {"choices": [{"text": str()}, *_]}:
                            first, last = first or now, now
                    match event:
                        case {"usage": {"prompt_tokens": int(input_), "completion_tokens": int(output)}}:
                            usage = input_, output
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise EngineSilent(f"{self._url}: {type(error).__name__}: {error}") from error
        if not first or min(usage) < 1:
            raise EngineSilent(
                f"{self._url} streams no text, or does not say how many tokens prompt and answer had."
            )
        return Measured(load, sent - start, *usage, first - sent, last - sent)
