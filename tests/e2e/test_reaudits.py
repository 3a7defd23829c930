"""Three strikes, from end to end, with no hand in between: real gateways over real models on a real chain.
Who is struck answers by itself, those whom the chain draws have the samples shown by who struck, audit,
commit and reveal, and the contract slashes who cheats, or makes those pay who struck an honest one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

import tallystick
from tallystick.chain.audits import Audits, Exhibit, Seat, Status
from tallystick.chain.draws import drawing
from tallystick.chain.duels import Duels
from tallystick.chain.local import LocalChain
from tallystick.client.client import Client
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.dossier import Dossier
from tallystick.protocol.eip712 import keccak
from tallystick.protocol.finding import Check, Finding, Verdict
from tallystick.protocol.lottery import DELAY_S, draws_at
from tallystick.protocol.merkle import root
from tallystick.protocol.signed import Key, Signed, sign
from tallystick.protocol.strikes import PENALTY_PARTS, SEATS, SLASHED, STRIKES
from tallystick.protocol.units import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Atoms,
    Milliseconds,
    Tokens,
    to_hex,
)
from tallystick.protocol.viewing import Shown
from tallystick_node.gateway import serve
from tallystick_node.local.calibrate.copies import quantised
from tallystick_node.quality.dossiers import Dossiers
from tests.audits.serving import QUESTIONS, engine_of
from tests.e2e.court import STAKE, Court, Member, until
from tests.engine.conftest import MODEL

pytestmark = pytest.mark.e2e

SCALES = MODEL.parent / "good.scales.json"
AUDITS = f'\n[quality]\naudit = true\nscales = ["{SCALES}"]\nsampler = "embedded"\n'
HONEST = 13
"""So many that of eleven seats hardly ever fewer than six are filled, beside those who strike."""
LONGER = QUESTIONS[4:7]
"""Of which each has an answer of a sentence."""
ENOUGH = 60
"""Tokens of a copy rounded to four bits, with log-probabilities: 43 were the most that a strike took in a
hundred trials."""
MOST_ROUNDS = 40
"""Of the first 400 answers on a channel some 17 are drawn."""
NONE_DUE = 32
"""Drawn answers: the client asks no auditor by itself. What comes then is `test_audits`."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def court(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Court]:
    """Honest nodes that audit, and at the end of the list one that serves a copy rounded to four bits."""
    folder = tmp_path_factory.mktemp("court")
    copy = quantised(MODEL, folder / "copy", bits=4, group=32)
    with pytest.MonkeyPatch.context() as patch, LocalChain() as chain:
        patch.setattr(serve, "_SUMMONS_S", 1.0)
        async with AsyncExitStack() as stack:
            good, rounded = [await stack.enter_async_context(engine_of(model)) for model in (MODEL, copy)]
            made = await stack.enter_async_context(Court(folder, chain))
            for _ in range(HONEST):
                made.add(good.url, "tiny-good", AUDITS)
            made.add(rounded.url, "tiny-good", enlists=False)
            await made.start()
            yield made


async def buying(court: Court, home: Path) -> Client:
    payer, atoms = Key.generate(), Atoms(20_000_000)
    court.fund(payer, atoms).deposit(atoms, payer.address)
    return await asyncio.to_thread(
        tallystick.Client,
        payer,
        rpc=court.chain.url,
        deployment=court.deployment,
        home=home,
        budget=tallystick.Budget(total=atoms, per_request=500_000),
        transactions=True,
        audits=tallystick.Audits(budget=10_000_000, answers=NONE_DUE),
    )


async def bought(court: Court, client: Client, provider: Member, tokens: int) -> None:
    """Answers of that provider, a few at a time, until the lottery drew so many that each of three strikes
    rests on so many tokens."""
    auditing = client._session.auditing
    assert auditing is not None
    only = {"only": [to_hex(provider.address)]}

    def buy(question: str) -> None:
        client.chat("tiny-good", question, max_tokens=48, temperature=0, provider=only)

    def enough() -> bool:
        drawn = [sample for stretch in auditing._stretches.values() for sample in stretch.drawn]
        shortest = drawn[: 1 - STRIKES]
        return sum(len(sample.ids) for sample in shortest) >= tokens

    for _ in range(MOST_ROUNDS):
        await asyncio.gather(*(asyncio.to_thread(buy, question) for question in (*LONGER, *LONGER)))
        court.pass_time(DELAY_S + 5)
        await until(lambda: not len(auditing.samples))
        if enough():
            return
    raise AssertionError("hardly any is drawn")


async def is_decided(court: Court, accused: Member) -> None:
    """Time passes when all have done what is theirs to do in it."""
    audits, period_s = court.audits, Duels(court.audits.market).terms().period_s

    def seats() -> list[Seat | None]:
        return [audits.seat(accused.address, number) for number, _ in enumerate(drawn())]

    def drawn() -> list[bytes]:
        return [one for one in audits.reauditors(accused.address) if one != ZERO_ADDRESS]

    def committed() -> bool:
        return len(drawn()) > SEATS // 2 and all(seat and seat.ballot_hash != ZERO_HASH for seat in seats())

    def revealed() -> bool:
        return all(seat and seat.opinions for seat in seats())

    await until(lambda: audits.accusation(accused.address).status is Status.COMMITTING)
    court.pass_time(5)
    await until(committed)
    court.pass_time(2 * period_s)
    await until(revealed)
    court.pass_time(period_s)
    await until(lambda: audits.accusation(accused.address).status is Status.NONE)


def stakes(court: Court) -> dict[bytes, int]:
    return {one.address: court.audits.market.stake(one.address).staked for one in court.members}


@pytest.mark.asyncio(loop_scope="module")
async def test_who_cheats_is_struck_and_slashed(court: Court, tmp_path: Path) -> None:
    *_, rounds = court.members
    before = stakes(court)
    with await buying(court, tmp_path) as client:
        await bought(court, client, rounds, ENOUGH)
        strikers = await asyncio.to_thread(strikes, court, client, rounds, audits)
    await is_decided(court, rounds)

    after = stakes(court)
    assert after.pop(rounds.address) == before.pop(rounds.address) - STAKE * SLASHED[0] // SLASHED[1]
    assert after == before
    assert all(court.audits.balance_of(striker) > 0 for striker in strikers)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_honest_one_that_is_struck_is_cleared(court: Court, tmp_path: Path) -> None:
    accused = court.members[0]
    before = stakes(court)
    with await buying(court, tmp_path) as client:
        await bought(court, client, accused, 1)
        liars = await asyncio.to_thread(strikes, court, client, accused, lies)
    await is_decided(court, accused)

    after = stakes(court)
    lost = {one: before[one] - after[one] for one in before if before[one] != after[one]}
    assert lost == dict.fromkeys(liars, STAKE // PENALTY_PARTS)


Finds = Callable[[Court, Client, Member, Dossier], Signed[Finding]]


def strikes(court: Court, client: Client, accused: Member, finds: Finds) -> list[Address]:
    """By three whom the chain drew for what the lottery drew of its answers; who they are."""
    auditing = client._session.auditing
    assert auditing is not None
    (stretch,) = auditing._stretches.values()
    strikers: list[Address] = []
    for sample in stretch.drawn[: -STRIKES - 1 : -1]:
        dossier = auditing._dossier(stretch, sample.receipt.message.sequence)
        assert dossier is not None
        block = auditing._block_at(draws_at(dossier.last.finished_at))
        assert block is not None
        drawn = court.audits.auditors(dossier.last.struct_hash(), accused.address, block)
        striker = next(one for one in drawn if one not in strikers)
        member = next(one for one in court.members if one.address == striker)
        exhibit = Exhibit(
            channel=channel_of(client, dossier),
            receipt=dossier.receipts[-1],
            drawing=drawing(court.chain.rpc, block),
            finding=finds(court, client, member, dossier),
        )
        Audits(court.market_of(court.chain.keys[1])).strike(exhibit)
        strikers.append(striker)
    return strikers


def audits(court: Court, client: Client, auditor: Member, dossier: Dossier) -> Signed[Finding]:
    """For its price, as any payer has it."""
    auditing = client._session.auditing
    assert auditing is not None
    posted = next(one for one in court.audits.market.offers() if one.offer.provider == auditor.address)
    finding = auditing._ask(dossier, posted, posted.offer.credit)
    assert finding.message.verdict == Verdict.STRIKE
    return finding


def lies(court: Court, client: Client, liar: Member, dossier: Dossier) -> Signed[Finding]:
    """Of answers that are such as the model gives. It keeps them, and will show them."""
    del client
    hashes = [sample.receipt.message.struct_hash() for sample in dossier.samples]
    finding = Finding(
        auditor=liar.address,
        provider=dossier.provider,
        receipt_hash=hashes[-1],
        receipts_root=root(hashes),
        receipt_count=len(hashes),
        scales_hash=keccak(SCALES.read_bytes()),
        check=Check.RANK,
        verdict=Verdict.STRIKE,
        tokens=Tokens(100),
        evidence=20_000_000,
        found_at=Milliseconds(1),
    )
    signed = sign(finding, court.deployment.domain, liar.receipt_key).signed
    Dossiers(liar.config.quality.dossiers).keep(Shown(finding=signed, dossier=dossier), lambda _: True)
    return signed


def channel_of(client: Client, dossier: Dossier) -> ChannelKey:
    purse = client._session.purse
    session_key, epoch = purse.findings.channel(dossier.last.channel_id)
    return ChannelKey(payer=purse.payer, provider=dossier.provider, session_key=session_key, epoch=epoch)
