"""An auditor behind its gateway: what a payer bought of one real provider is audited by another, for its
price, once the auditor has found that the lottery drew it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

import orjson
import pytest

from tallystick.chain.errors import ChainUnavailable
from tallystick.protocol.dossier import Dossier
from tallystick.protocol.finding import Finding, Verdict
from tallystick.protocol.lottery import Block, BlockAt, draws_at
from tallystick.protocol.sample import Sample
from tallystick.protocol.signed import Key, sign, verify
from tallystick.protocol.stake import Stake
from tallystick.protocol.units import Address, Atoms, Milliseconds, Timestamp
from tallystick.protocol.viewing import Shown
from tallystick.protocol.wire import AUDIT_PATH, signed_from_json
from tallystick_node.gateway.opining import CASE_LIMIT
from tallystick_node.local.calibrate.copies import quantised
from tallystick_node.quality.asking import own_engine
from tallystick_node.quality.inspector import Inspector
from tests.audits.drawing import drawing
from tests.audits.serving import QUESTIONS, SHIPPED, Now
from tests.audits.test_paid import bought, sold
from tests.engine.conftest import MODEL
from tests.gateway.conftest import DOMAIN, World
from tests.gateway.payer import Payer

LEAST_STAKE = Atoms(100)
WINDOW_S = 7 * 86_400


class Reader:
    """Every provider signs for itself."""

    staked = LEAST_STAKE
    exiting = Atoms(0)

    def stake(self, provider: Address) -> Stake:
        return Stake(
            provider=provider,
            staked=self.staked,
            exiting=self.exiting,
            exits_at=Timestamp(0),
            receipt_key=provider,
        )

    def is_receipt_key(self, provider: Address, key: Address) -> bool:
        return provider == key


class Hand:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = Now().milliseconds()

    def milliseconds(self) -> Milliseconds:
        return self.at


def inspecting(
    world: World,
    block_at: BlockAt,
    kept: list[Shown] | None = None,
    *,
    reader: Any = None,
    now: Hand | None = None,
) -> Inspector:
    """`kept`: takes what its strikes are found of."""
    reader: Any = Reader() if reader is None else reader
    return Inspector(
        provider=world.key.address,
        key=world.key,
        domain=DOMAIN,
        scales={SHIPPED.model: SHIPPED},
        sampler="embedded",
        reader=reader,
        block_at=block_at,
        ask=own_engine(world.upstream),
        clock=now or Hand(),
        keep=([] if kept is None else kept).append,
        least_stake=LEAST_STAKE,
        window_s=WINDOW_S,
    )


def of(samples: Sequence[Sample], *shown: int) -> Dossier:
    return Dossier(
        receipts=tuple(one.receipt for one in samples),
        samples=tuple(samples[number] for number in shown),
    )


def block_of(samples: Sequence[Sample], *wanted: int) -> Block:
    return drawing([one.receipt.message for one in samples], wanted)


@dataclass
class Office:
    """An auditor's gateway, and a payer of it."""

    world: World
    payer: Payer
    kept: list[Shown]
    block: Block | None = None
    away: bool = False
    reader: Reader = field(default_factory=Reader)
    now: Hand = field(default_factory=Hand)
    looked_up: int = 0
    """Blocks."""

    def block_at(self, _: object) -> Block | None:
        self.looked_up += 1
        if self.away:
            raise ChainUnavailable("It is gone.")
        return self.block

    def body(self, dossier: Dossier, **more: Any) -> bytes:
        return orjson.dumps({"model": "tiny-good", "dossier": dossier.to_json()} | more)

    async def audited(self, dossier: Dossier) -> tuple[Finding, dict[str, Any]]:
        """Paid for, its receipt checked."""
        answer = await self.payer.complete(self.body(dossier), path=AUDIT_PATH)
        signed = signed_from_json(Finding, answer)
        verified = verify(signed, DOMAIN, signer=self.world.key.address)
        return verified.message, orjson.loads(answer["choices"][0]["text"])

    async def refused(self, dossier: Dossier, **more: Any) -> tuple[int, str]:
        response = await self.payer.post(self.body(dossier, **more), AUDIT_PATH)
        return response.status_code, response.json()["error"]["code"]


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    made: list[Office] = []
    kept: list[Shown] = []
    reader, now = Reader(), Hand()

    def auditing(world: World) -> Inspector:
        return inspecting(world, lambda moment: made[0].block_at(moment), kept, reader=reader, now=now)

    changes: dict[str, Any] = {"auditing": auditing, "body_limit": 2 * CASE_LIMIT}
    async with sold(MODEL, tmp_path / "office", **changes) as (world, payer):
        made.append(Office(world, payer, kept, reader=reader, now=now))
        yield made[0]


async def answers(tmp_path: Path, model: Path = MODEL, questions: Sequence[str] = QUESTIONS) -> list[Sample]:
    async with sold(model, tmp_path / "seller") as (_, payer):
        return [await bought(payer, question) for question in questions]


async def test_an_honest_provider_is_clear_and_the_auditor_is_paid(tmp_path: Path, office: Office) -> None:
    samples = await answers(tmp_path)
    office.block = block_of(samples, 1, 4, 7)
    finding, said = await office.audited(of(samples, 1, 4, 7))

    assert (finding.verdict, finding.receipt_count) == (Verdict.CLEAR, 3)
    assert finding.receipt_hash == samples[7].receipt.message.struct_hash()
    assert (said["withheld"], office.kept) == (0, [])
    assert [len(one["rank"]) for one in said["distances"]] == [len(samples[n].ids) for n in (1, 4, 7)]
    (receipt,) = office.payer.receipts.values()
    ids = sum(len(samples[number].ids) for number in (1, 4, 7))
    assert receipt.output_tokens == 2 * 3  # Of each one token again, greedy as they are, and one prefill.
    assert receipt.input_tokens > ids


async def test_a_rounded_copy_is_struck(tmp_path: Path, office: Office) -> None:
    samples = await answers(tmp_path, quantised(MODEL, tmp_path / "copy", bits=4, group=32))
    office.block = block_of(samples, 1, 4, 7)
    dossier = of(samples, 1, 4, 7)
    finding, _ = await office.audited(dossier)
    assert finding.verdict == Verdict.STRIKE
    (kept,) = office.kept
    assert (kept.finding.message, kept.dossier) == (finding, dossier)


async def test_a_dossier_that_is_too_long_is_not_read(office: Office) -> None:
    body = b'{"model": "tiny-good", "dossier": {"receipts": [' + b" " * CASE_LIMIT + b"]}}"
    response = await office.payer.post(body, AUDIT_PATH)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body-too-large")
    assert response.json()["error"]["required"] == str(CASE_LIMIT)


async def test_others_are_served_while_a_dossier_is_read(
    tmp_path: Path, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = await answers(tmp_path, questions=QUESTIONS[:4])
    office.block = block_of(samples, 1, 3)
    reading, goes_on = Event(), Event()
    read = Dossier.from_json

    def slowly(data: object) -> Dossier:
        reading.set()
        assert goes_on.wait(20)
        return read(data)

    monkeypatch.setattr(Dossier, "from_json", slowly)
    audit = asyncio.create_task(office.audited(of(samples, 1, 3)))
    await asyncio.to_thread(reading.wait, 20)
    assert (await office.world.http.get("/v1/models")).status_code == 200
    goes_on.set()
    finding, _ = await audit
    assert finding.verdict == Verdict.CLEAR


async def test_who_withholds_what_was_drawn_needs_more_for_a_strike(tmp_path: Path, office: Office) -> None:
    samples = await answers(tmp_path)
    office.block = block_of(samples, 0, 2, 5, 7)
    _, said = await office.audited(of(samples, 7))
    assert said["withheld"] == 3


# ------------------------------------------------------------------------------------- what it does not audit


async def test_it_sees_to_the_draw_itself(tmp_path: Path, office: Office) -> None:
    samples = await answers(tmp_path, questions=QUESTIONS[:4])
    office.block = block_of(samples, 1)
    assert await office.refused(of(samples, 1, 3)) == (422, "dossier-mismatch")
    office.block = None
    assert await office.refused(of(samples, 1, 3)) == (409, "draw-pending")
    office.away = True
    assert await office.refused(of(samples, 1, 3)) == (409, "draw-pending")
    assert office.world.gateway.running == {}


async def test_of_what_was_made_up_one_block_is_looked_up(tmp_path: Path, office: Office) -> None:
    """And not those of a thousand receipts that whoever asks has signed to itself."""
    samples = await answers(tmp_path)
    office.block = block_of(samples, 0, 4)
    assert await office.refused(of(samples, 7)) == (422, "dossier-mismatch")
    assert office.looked_up == 1


async def test_nobody_without_a_stake_is_audited_for_whoever_pays(tmp_path: Path, office: Office) -> None:
    samples = await answers(tmp_path, questions=QUESTIONS[:4])
    office.block, office.reader.staked = block_of(samples, 1, 3), Atoms(LEAST_STAKE - 1)
    assert await office.refused(of(samples, 1, 3)) == (422, "dossier-mismatch")
    assert office.looked_up == 0


async def test_who_asked_its_stake_back_is_audited_until_it_is_gone(tmp_path: Path, office: Office) -> None:
    samples = await answers(tmp_path, questions=QUESTIONS[:4])
    office.block = block_of(samples, 1, 3)
    office.reader.staked, office.reader.exiting = Atoms(0), LEAST_STAKE
    await office.audited(of(samples, 1, 3))
    office.reader.exiting = Atoms(LEAST_STAKE - 1)
    assert await office.refused(of(samples, 1, 3)) == (422, "dossier-mismatch")


async def test_what_no_strike_could_be_filed_of_is_not_audited(tmp_path: Path, office: Office) -> None:
    samples = await answers(tmp_path, questions=QUESTIONS[:4])
    office.block = block_of(samples, 1, 3)
    last = samples[3].receipt.message
    office.now.at = Milliseconds(1000 * (draws_at(last.finished_at) + WINDOW_S))
    assert await office.refused(of(samples, 1, 3)) == (422, "dossier-mismatch")
    assert office.looked_up == 0
    office.now.at = Milliseconds(office.now.at - 1000)
    await office.audited(of(samples, 1, 3))


async def test_what_does_not_hold_together_is_refused_before_anything_is_reserved(
    tmp_path: Path, office: Office
) -> None:
    samples = await answers(tmp_path, questions=QUESTIONS[:4])
    office.block = block_of(samples, 1, 3)
    whole = of(samples, 1, 3)
    assert await office.refused(replace(whole, receipts=whole.receipts[1:2] + whole.receipts[3:])) == (
        422,
        "dossier-mismatch",
    )
    doctored = replace(samples[1], ids=samples[1].ids[::-1])
    assert await office.refused(replace(whole, samples=(doctored, samples[3]))) == (422, "receipt-mismatch")
    assert await office.refused(whole, model="another") == (422, "dossier-mismatch")


async def test_a_receipt_of_somebody_else_s_key_is_refused(tmp_path: Path, office: Office) -> None:
    samples = await answers(tmp_path, questions=QUESTIONS[:4])
    forged = sign(samples[0].receipt.message, DOMAIN, Key(b"\5" * 32)).signed
    office.block = block_of(samples, 1, 3)
    whole = of(samples, 1, 3)
    assert await office.refused(replace(whole, receipts=(forged, *whole.receipts[1:]))) == (
        401,
        "wrong-signer",
    )


async def test_nobody_audits_its_own_answers(office: Office) -> None:
    samples = [await bought(office.payer, question) for question in QUESTIONS[:4]]
    office.block = block_of(samples, 1, 3)
    assert await office.refused(of(samples, 1, 3)) == (422, "receipt-mismatch")


@pytest.mark.parametrize("dossier", [None, 1, {}, {"receipts": [], "samples": [], "others": []}])
async def test_what_is_none_is_refused(office: Office, dossier: object) -> None:
    body = orjson.dumps({"model": "tiny-good", "dossier": dossier})
    response = await office.payer.post(body, AUDIT_PATH)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "malformed-message")


async def test_nobody_is_audited_for_without_paying(tmp_path: Path, office: Office) -> None:
    samples = await answers(tmp_path, questions=QUESTIONS[:4])
    response = await office.world.http.post(AUDIT_PATH, content=office.body(of(samples, 1, 3)))
    assert response.status_code == 402


async def test_a_gateway_without_an_auditor_has_no_such_route(tmp_path: Path) -> None:
    async with sold(MODEL, tmp_path / "plain") as (world, _):
        assert (await world.http.post(AUDIT_PATH, content=b"{}")).status_code == 404
