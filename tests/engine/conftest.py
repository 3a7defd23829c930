"""Engines of ours, served on a free port of the loopback."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tallystick.tokenizer import Vocabulary
from tallystick_node.engine.batch import Batch
from tallystick_node.engine.echo import EchoEngine, Manner
from tallystick_node.engine.embedded import EmbeddedEngine
from tallystick_node.engine.llama import Llama
from tallystick_node.engine.openai_server import Engine, serving

MODEL = Path(__file__).parent.parent / "models" / "good"
SLOTS = 4

Json = dict[str, Any]


@dataclass(frozen=True)
class Served:
    """An engine behind HTTP, and what asks it."""

    url: str
    session: aiohttp.ClientSession
    batch: Batch | None = None

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(self.url + path) as response:
            return response.status, await response.text()

    async def post(self, path: str, body: object) -> tuple[int, Json]:
        async with self.session.post(self.url + path, json=body) as response:
            return response.status, await response.json()

    async def body(self, path: str, **fields: object) -> Json:
        status, body = await self.post(path, fields)
        assert status == 200, body
        return body

    async def chunks(self, path: str, **fields: object) -> list[Json]:
        """The stream's chunks, once it has ended as it should."""
        body = {**fields, "stream": True}
        async with self.session.post(self.url + path, json=body) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            events = (await response.text()).split("\n\n")
        assert events[-2:] == ["data: [DONE]", ""]
        return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


@asynccontextmanager
async def served(engine: Engine, batch: Batch | None = None) -> AsyncIterator[Served]:
    running = asyncio.create_task(batch.run()) if batch else None
    async with serving(engine, "127.0.0.1", 0) as port, aiohttp.ClientSession() as session:
        yield Served(f"http://127.0.0.1:{port}", session, batch)
    if running:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def until(reached: Callable[[], bool]) -> None:
    """Waits, in case of need as long as pytest does."""
    while not reached():  # noqa: ASYNC110 (what is awaited lies inside the engine, which rings no bell for tests)
        await asyncio.sleep(0.001)


@pytest.fixture(scope="session")
def model() -> Llama:
    return Llama(MODEL, slots=SLOTS)


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary(MODEL)


@pytest.fixture
async def embedded(model: Llama, vocabulary: Vocabulary) -> AsyncIterator[Served]:
    batch = Batch(model, vocabulary, (1,))
    async with served(EmbeddedEngine("good", batch, vocabulary, model.max_length), batch) as engine:
        yield engine


@pytest.fixture
async def echo() -> AsyncIterator[Served]:
    async with served(EchoEngine(Manner())) as engine:
        yield engine


@pytest.fixture
def echoing() -> Callable[[Manner], AbstractAsyncContextManager[Served]]:
    """Serves an echo engine of a manner of one's own."""
    return lambda manner: served(EchoEngine(manner))
