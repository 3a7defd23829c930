"""An audit from end to end over real gateways: what a payer bought of one is audited by what it buys of
another."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from tallystick.protocol.finding import Check, Verdict
from tallystick.protocol.sample import Sample
from tallystick.protocol.signed import Key, verify
from tallystick.protocol.wire import RECEIPT, read_receipt_text
from tallystick_node.local.calibrate.copies import quantised
from tallystick_node.quality.auditor import Auditor
from tests.audits.serving import QUESTIONS, SHIPPED, Now, engine_of
from tests.audits.showing import CHAT
from tests.engine.conftest import MODEL
from tests.gateway.conftest import DOMAIN, World
from tests.gateway.payer import Payer


@contextlib.asynccontextmanager
async def sold(model: Path, folder: Path, **changes: Any) -> AsyncIterator[tuple[World, Payer]]:
    """A gateway in front of a real model, and a payer of it; `changes` of the world."""
    folder.mkdir()  # noqa: ASYNC240
    async with engine_of(model) as engine:
        world = World(folder)
        engine_there: Any = SimpleNamespace(url=engine.url, started=0)
        world.engine, world.model = engine_there, "tiny-good"
        for name, value in changes.items():
            setattr(world, name, value)
        await world.start()
        try:
            yield world, await world.payer()
        finally:
            await world.stop()


async def bought(payer: Payer, question: str) -> Sample:
    asked = orjson.dumps(
        {
            "model": "tiny-good",
            "messages": [{"role": "user", "content": question}],
            "max_tokens": 48,
            "temperature": 0,
            "logprobs": True,
        }
    )
    response = await payer.post(asked)
    payer.take_whole(asked, response)
    (choice,) = orjson.loads(response.content)["choices"]
    return Sample(
        path=CHAT,
        body=asked,
        ids=tuple(choice["token_ids"]),
        logprobs=tuple(score["logprob"] for score in choice["logprobs"]["content"]),
        offer=payer.offer,
        receipt=read_receipt_text(response.headers[RECEIPT]),
    )


@pytest.mark.parametrize(("bits", "verdict"), [(None, Verdict.CLEAR), (4, Verdict.STRIKE)])
async def test_what_one_provider_sold_is_audited_by_another_s_paid_answers(
    tmp_path: Path, bits: int | None, verdict: Verdict
) -> None:
    model = MODEL if bits is None else quantised(MODEL, tmp_path / "copy", bits=bits, group=32)
    async with sold(model, tmp_path / "audited") as (audited, payer):
        samples = [await bought(payer, question) for question in QUESTIONS]

    async with sold(MODEL, tmp_path / "asked") as (_, buyer):
        before, key = buyer.tally, Key.generate()

        async def ask(path: str, body: bytes) -> bytes:
            response = await buyer.post(body, path)
            buyer.take_whole(body, response)
            return response.content

        auditor = Auditor(
            key=key,
            address=key.address,
            domain=DOMAIN,
            ask=ask,
            engine_model="tiny-good",
            scales=SHIPPED,
            sampler="embedded",
            clock=Now(),
        )
        opinion, finding = await auditor.audit(samples, audited.key.address)

    assert opinion.verdict is verdict
    assert verify(finding.signed, DOMAIN, signer=key.address).message.verdict == verdict
    assert opinion.evidence[Check.RANK].answers == opinion.evidence[Check.LOGPROB].answers == len(QUESTIONS)
    cost = buyer.tally.amount - before.amount
    answers = sum(sample.receipt.message.cost for sample in samples)
    assert 0 < cost < 2 * answers
