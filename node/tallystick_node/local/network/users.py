"""Users at work: each asks its home node over HTTP at its moment, reads the stream, and notes when what came.

They pay nothing and know no market: their node does.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

import aiohttp
import orjson

from tallystick_node.local.network.score import Served
from tallystick_node.local.network.traffic import Arrival

_PATIENCE_S: Final = 60.0
"""After the last arrival: what has not ended by then is a miss."""
_WORDS: Final = ("river", "stone", "maple", "cloud", "ember", "field", "harbor", "lantern")


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where a user asks."""

    url: str
    key: str
    """The node's own users' key; empty: it wants none."""


@dataclass(slots=True, kw_only=True)
class Users:
    """All users of one run."""

    homes: Sequence[Home]
    model: str
    on_served: Callable[[Served], None] = lambda _: None
    refuge: Mapping[int, int] = field(default_factory=dict)
    """By home: the node that its users ask where the first does not answer, or breaks off."""
    lengths_are_asked_for: bool = False
    """Each body says how long its answer is to be: a real model would not know."""

    async def run(self, arrivals: Sequence[Arrival]) -> list[Served]:
        """What became of every arrival, in their order."""
        connector = aiohttp.TCPConnector(limit=0, ssl=False)
        async with aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=None)
        ) as web:
            began = time.monotonic()
            tasks = [asyncio.create_task(self._one(web, arrival, began)) for arrival in arrivals]
            last = arrivals[-1].at_s if arrivals else 0.0
            try:
                await asyncio.wait(tasks, timeout=last + _PATIENCE_S)
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
        return [
            item
            if isinstance(item, Served)
            else Served(arrival=arrival, home=arrival.home, error="did not end")
            for arrival, item in zip(arrivals, ended, strict=True)
        ]

    async def _one(self, web: aiohttp.ClientSession, arrival: Arrival, began: float) -> Served:
        await asyncio.sleep(max(0.0, began + arrival.at_s - time.monotonic()))
        started = time.monotonic()
        served = await self._asked(web, arrival, arrival.home, started)
        if not served.whole and arrival.home in self.refuge:
            again = await self._asked(web, arrival, self.refuge[arrival.home], started)
            served = replace(again, tried=served.error)
        self.on_served(served)
        return served

    async def _asked(
        self, web: aiohttp.ClientSession, arrival: Arrival, number: int, started: float
    ) -> Served:
        home = self.homes[number]
        served = Served(arrival=arrival, home=number)
        try:
            headers = {"authorization": f"Bearer {home.key}"} if home.key else {}
            async with web.post(
                f"{home.url}/v1/chat/completions", json=self._body(arrival), headers=headers
            ) as answer:
                if answer.status != 200:
                    text = (await answer.text())[:200]
                    served = replace(served, error=f"{answer.status} {text}")
                else:
                    served = await _read(answer, served, started)
        except (aiohttp.ClientError, OSError) as error:
            served = replace(served, error=repr(error)[:200])
        return served

    def _body(self, arrival: Arrival) -> dict[str, Any]:
        """A prompt of the wanted size, whose answer will be of the wanted size: the echo engine says the last
        message once, and nobody but it can tell beforehand how long an answer will be."""
        size = arrival.size
        context, question = max(0, size.input - size.output), size.output
        return {
            "model": self.model,
            "stream": True,
            "messages": [
                {"role": "system", "content": _words(context, arrival.number)},
                {"role": "user", "content": _words(question, arrival.number + 3)},
            ],
        } | ({"max_tokens": size.output} if self.lengths_are_asked_for else {})


async def _read(answer: aiohttp.ClientResponse, served: Served, started: float) -> Served:
    first: float | None = None
    tokens, error, done = 0, "", False
    with suppress(aiohttp.ClientError):  # Broken off is broken off, however.
        async for line in answer.content:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                done = True
                break
            chunk = orjson.loads(data)
            if "error" in chunk:
                error = f"broke off: {chunk['error']}"[:200]
            for choice in chunk.get("choices") or ():
                if (choice.get("delta") or {}).get("content"):
                    tokens += 1
                    first = first if first is not None else time.monotonic() - started
    if not done and not error:
        error = "broke off"
    return replace(
        served,
        provider=answer.headers.get("tallystick-provider", ""),
        first_s=first,
        total_s=time.monotonic() - started,
        tokens=tokens,
        error=error,
    )


def _words(count: int, turn: int) -> str:
    return " ".join(_WORDS[(turn + place) % len(_WORDS)] for place in range(count))
