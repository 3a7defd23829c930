"""An auditor at work, with a real model: our embedded engine serves it, and copies of it whose weights are
rounded."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from tallystick.protocol.errors import MalformedMessage, ReceiptMismatch, WrongSigner
from tallystick.protocol.evidence import Scales
from tallystick.protocol.finding import Check, Verdict
from tallystick.protocol.signed import Key, verify
from tallystick_node.engine.upstream import EngineGone, Upstream
from tallystick_node.local.calibrate.copies import quantised
from tallystick_node.quality.asking import EngineRefused, own_engine, paid
from tallystick_node.quality.auditor import Auditor
from tests.audits.serving import QUESTIONS, SHIPPED, Now, answers, engine_of
from tests.audits.showing import CHAT, DOMAIN, PROVIDER, SCALES, body, prefill_reply, replay_reply, sample
from tests.engine.conftest import MODEL, Served

AUDITOR = Key.generate()


@pytest.fixture
async def good() -> AsyncIterator[Served]:
    async with engine_of(MODEL) as engine:
        yield engine


def auditor(engine: Served, upstream: Upstream, scales: Scales = SHIPPED) -> Auditor:
    return Auditor(
        key=AUDITOR,
        address=AUDITOR.address,
        domain=DOMAIN,
        ask=own_engine(upstream),
        engine_model="tiny-good",
        scales=scales,
        sampler="embedded",
        clock=Now(),
    )


@pytest.fixture
def auditing(good: Served) -> Callable[[], AbstractAsyncContextManager[Auditor]]:
    @asynccontextmanager
    async def open_auditor() -> AsyncIterator[Auditor]:
        upstream = Upstream(good.url)
        try:
            yield auditor(good, upstream)
        finally:
            await upstream.close()

    return open_auditor


@pytest.mark.parametrize("logprobs", [False, True])
async def test_the_promised_model_is_found_clear(
    good: Served, auditing: Callable[[], AbstractAsyncContextManager[Auditor]], logprobs: bool
) -> None:
    said = await answers(good, logprobs=logprobs)
    async with auditing() as who:
        opinion, finding = await who.audit(said, PROVIDER.address)

    assert opinion.verdict is Verdict.CLEAR
    assert finding.message.verdict == Verdict.CLEAR
    assert finding.message.tokens == sum(len(one.ids) for one in said)
    assert verify(finding.signed, DOMAIN, signer=AUDITOR.address)
    assert {check for check, seen in opinion.evidence.items() if seen.tokens} == (
        {Check.RANK, Check.LOGPROB} if logprobs else {Check.RANK}
    )


async def test_a_rounded_copy_is_struck(
    auditing: Callable[[], AbstractAsyncContextManager[Auditor]], tmp_path: Path
) -> None:
    async with engine_of(quantised(MODEL, tmp_path / "int4", bits=4, group=32)) as cheat:
        said = await answers(cheat, logprobs=True)
    async with auditing() as who:
        opinion, finding = await who.audit(said, PROVIDER.address)

    assert finding.message.verdict == Verdict.STRIKE
    assert finding.message.evidence >= SHIPPED.checks[opinion.strongest].strike


async def test_answers_cut_short_are_struck(
    good: Served, auditing: Callable[[], AbstractAsyncContextManager[Auditor]]
) -> None:
    whole = await answers(good, logprobs=False)
    cut = [
        sample([*one.ids[: len(one.ids) // 2], 1], asked=one.body, sequence=one.receipt.message.sequence)
        for one in whole
    ]
    async with auditing() as who:
        opinion, _ = await who.audit(cut, PROVIDER.address)

    assert (opinion.verdict, opinion.strongest) == (Verdict.STRIKE, Check.RANK)


async def test_nothing_is_said_of_what_no_receipt_binds(
    auditing: Callable[[], AbstractAsyncContextManager[Auditor]],
) -> None:
    one, two = sample([5, 1]), sample([5, 1], sequence=1)
    other = sample([5, 1], sequence=2, channel_id=bytes(32))
    async with auditing() as who:
        for samples in ([], [two, one], [one, one], [one, other], [sample([5, 1], asked=body(n=2))]):
            with pytest.raises(ReceiptMismatch):
                await who.audit(samples, PROVIDER.address)
        with pytest.raises(ReceiptMismatch):
            await who.audit([replace(one, ids=(5, 2))], PROVIDER.address)
        with pytest.raises(ReceiptMismatch):
            await who.audit(
                [replace(one, offer=replace(one.offer, provider=AUDITOR.address))], PROVIDER.address
            )
        with pytest.raises(WrongSigner):
            await who.audit([one], AUDITOR.address)


async def test_an_engine_that_fails_is_nobodys_fault() -> None:
    upstream = Upstream("http://127.0.0.1:9")
    try:
        with pytest.raises(EngineGone):
            await own_engine(upstream)(CHAT, b"{}")
    finally:
        await upstream.close()


class Answering:
    """A paying client in front of one engine, or of none."""

    def __init__(self, status: int, content: bytes) -> None:
        self.status_code, self.content = status, content
        self.asked: list[tuple[str, bytes]] = []

    async def post(self, url: str, *, content: bytes) -> "Answering":
        self.asked.append((url, content))
        return self


async def test_a_paid_auditor_asks_anybody_but_the_audited() -> None:
    client = Answering(200, b"{}")
    ask = paid(client, "https://market.tallystick.invalid/v1", audited=PROVIDER.address)

    assert await ask("/v1/completions", b'{"prompt": [1]}') == b"{}"
    ((url, content),) = client.asked
    assert url == "https://market.tallystick.invalid/v1/completions"
    assert orjson.loads(content)["provider"] == {"ignore": ["0x" + PROVIDER.address.hex()]}
    with pytest.raises(EngineGone):
        await paid(Answering(503, b""), "x", audited=PROVIDER.address)("/v1/completions", b"{}")


async def test_an_answer_that_the_engine_refuses_does_not_undo_the_others(
    good: Served, auditing: Callable[[], AbstractAsyncContextManager[Auditor]]
) -> None:
    """They have cost the auditor its engine's time, and the payer its audit."""
    said = await answers(good, logprobs=True, questions=QUESTIONS[:2])
    long = body(messages=[{"role": "user", "content": "word " * 5_000}])
    deep = body(messages="nested").replace(b'"nested"', b"[" * 300 + b"]" * 300)
    refused = [
        sample([5, 1], asked=long, sequence=2, input_tokens=5_000),
        sample([5, 1], asked=deep, sequence=3),
        sample([1 << 31, 1], asked=said[0].body, sequence=4),
    ]
    async with auditing() as who:
        opinion, finding = await who.audit([*said, *refused], PROVIDER.address)
        with pytest.raises(EngineRefused):
            await who.audit(refused[:2], PROVIDER.address)

    assert (finding.message.verdict, finding.message.receipt_count) == (Verdict.CLEAR, 5)
    assert finding.message.tokens == opinion.tokens == sum(len(one.ids) for one in said)


async def test_several_answers_are_looked_at_at_a_time_once_the_engine_has_answered() -> None:
    busy, most = 0, 0

    async def ask(path: str, content: bytes) -> bytes:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.005)
        busy -= 1
        return replay_reply([5, 1]) if path == CHAT else prefill_reply([5, 1], (0, 0))

    who = Auditor(
        key=AUDITOR,
        address=AUDITOR.address,
        domain=DOMAIN,
        ask=ask,
        engine_model="x",
        scales=SCALES,
        sampler="here",
        clock=Now(),
    )
    shown = [sample([5, 1], sequence=number) for number in range(12)]
    examined = await who.examine(shown)
    assert [one.sample for one in examined] == shown
    assert most == 4


async def test_an_engine_that_tells_no_ids_is_no_evidence() -> None:
    async def ask(path: str, body: bytes) -> bytes:
        return b'{"choices": [{}]}'

    who = Auditor(
        key=AUDITOR,
        address=AUDITOR.address,
        domain=DOMAIN,
        ask=ask,
        engine_model="x",
        scales=SCALES,
        sampler="here",
        clock=Now(),
    )
    with pytest.raises(MalformedMessage):
        await who.audit([sample([5, 1])], PROVIDER.address)
