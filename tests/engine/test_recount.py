"""A payer with the tokenizer counts what our own engine counts, whatever it is asked."""

import asyncio

import pytest

from tallystick.tokenizer import Vocabulary
from tests.engine.conftest import Json, Served
from tests.engine.recounting import as_sent, requests, require_honest


@pytest.mark.parametrize("stream", [False, True])
async def test_the_embedded_engine_passes(embedded: Served, vocabulary: Vocabulary, stream: bool) -> None:
    async def judge(path: str, fields: Json) -> None:
        ask, body = as_sent(path, fields, stream=stream)
        payloads = await (embedded.chunks if stream else embedded.body)(path, **body)
        require_honest(vocabulary, ask, payloads if isinstance(payloads, list) else [payloads])

    async with asyncio.TaskGroup() as group:
        for path, fields in requests("good"):
            group.create_task(judge(path, fields))
