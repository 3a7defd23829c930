"""A judge sells its judgement as any other request, casts one ballot a duel, and keeps it until all have."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tallystick.protocol.case import Case, checked
from tallystick.protocol.signed import Key, Signed, sign, verify
from tallystick.protocol.units import ZERO_ADDRESS, ZERO_HASH, Address, Hash32, to_hex
from tallystick.protocol.vote import Ballot, Choice, VoteCommitment
from tallystick.protocol.wire import BALLOTS_PATH, JUDGE_PATH, signed_from_json, signed_to_json
from tallystick_node.quality.judge import Judge
from tests.gateway.conftest import DOMAIN, Make, World, until
from tests.gateway.payer import Payer
from tests.quality.engines import JudgingEngine, always, better
from tests.quality.making import FIRST, case, exhibit, streamed

GOOD, BAD = streamed("Nai", "robi."), streamed("Mombasa.")
OTHER = Key(b"\5" * 32)


class Chain:
    """Whom it drew."""

    def __init__(self, panel: Sequence[Address]):
        self.drawn = panel
        self.asked: list[tuple[Hash32, Address, Address]] = []
        self.keys_asked: list[Address] = []
        self.answers = threading.Event()
        self.answers.set()

    def is_receipt_key(self, provider: Address, key: Address) -> bool:
        self.keys_asked.append(provider)
        assert self.answers.wait(20)
        return provider == key

    def panel(self, duel: Hash32, first: Address, second: Address) -> Sequence[Address]:
        self.asked.append((duel, first, second))
        return self.drawn


def judging(world: World, chain: Chain) -> Judge:
    assert world.store is not None
    return Judge(
        provider=world.key.address,
        key=world.key,
        domain=DOMAIN,
        panels=chain,
        is_receipt_key=chain.is_receipt_key,
        store=world.store,
        upstream=world.upstream,
    )


class Court:
    """One judge's gateway, and a challenger that pays."""

    def __init__(self, world: World, payer: Payer, chain: Chain, engine: JudgingEngine):
        self.world = world
        self.payer = payer
        self.chain = chain
        self.engine = engine

    def body(self, shown: Case, **more: Any) -> bytes:
        return orjson.dumps({"model": self.payer.offer.model, "case": shown.to_json()} | more)

    async def judged(self, shown: Case) -> Signed[VoteCommitment]:
        """Paid for, its receipt checked."""
        answer = await self.payer.complete(self.body(shown), path=JUDGE_PATH)
        return signed_from_json(VoteCommitment, answer)

    async def refused(self, shown: Case) -> tuple[int, str]:
        before = self.world.held() | {"started": 0}
        response = await self.payer.post(self.body(shown), JUDGE_PATH)
        assert self.world.held() | {"started": 0} == before
        return response.status_code, response.json()["error"]["code"]

    async def ballot(self, duel: Hash32, *shown: Signed[VoteCommitment]) -> tuple[int, Any]:
        body = {"duel": to_hex(duel), "commitments": [signed_to_json(one) for one in shown]}
        response = await self.world.http.post(BALLOTS_PATH, content=orjson.dumps(body))
        return response.status_code, response.json()


def committed(
    judge: Key, duel: Hash32, *, key: Key | None = None, ballot_hash: Hash32 = Hash32(b"\6" * 32)
) -> Signed[VoteCommitment]:
    message = VoteCommitment(duel=duel, judge=judge.address, ballot_hash=ballot_hash)
    return sign(message, DOMAIN, key or judge).signed


@pytest.fixture
async def court(make_world: Make) -> Court:
    engine, chain = JudgingEngine(better("Nairobi")), Chain(())
    world = await make_world(engine=engine, bench=lambda world: judging(world, chain))
    chain.drawn = (OTHER.address, world.key.address, ZERO_ADDRESS)
    return Court(world, await world.payer(), chain, engine)


async def test_a_judgement_is_paid_and_binds_a_ballot_that_nobody_can_read(court: Court) -> None:
    shown = case(GOOD, BAD)
    signed = await court.judged(shown)

    commitment = verify(signed, DOMAIN, signer=court.world.key.address).message
    assert (commitment.duel, commitment.judge) == (shown.duel, court.world.key.address)
    ballots = {
        checked(shown, DOMAIN).ballot(commitment.judge, choice, ZERO_HASH).struct_hash()
        for choice in (Choice.FIRST, Choice.SECOND, Choice.TIE)
    }
    assert commitment.ballot_hash not in ballots
    (receipt,) = court.payer.receipts.values()
    assert receipt.input_tokens == sum(100 + len("Nairobi.") + len("Mombasa.") for _ in range(2))
    assert receipt.output_tokens == 2
    assert court.chain.asked == [(shown.duel, shown.first.provider, shown.second.provider)]


@pytest.mark.parametrize(
    ("first", "second", "choice"),
    [
        (GOOD, BAD, Choice.FIRST),
        (BAD, GOOD, Choice.SECOND),
        (GOOD, streamed("It is Nairobi."), Choice.TIE),
        (BAD, streamed("Kisumu."), Choice.TIE),
    ],
)
async def test_the_ballot_is_what_the_engine_found_of_these_answers(
    court: Court, first: Sequence[bytes], second: Sequence[bytes], choice: Choice
) -> None:
    shown = case(first, second)
    mine = await court.judged(shown)
    status, told = await court.ballot(shown.duel, mine, committed(OTHER, shown.duel))

    ballot = Ballot.from_json(told["ballot"])
    assert status == 200
    assert ballot == checked(shown, DOMAIN).ballot(court.world.key.address, choice, ballot.salt)
    assert ballot.struct_hash() == mine.message.ballot_hash


async def test_who_was_shown_a_ballot_cannot_disown_what_it_was_shown_for(court: Court) -> None:
    """Not even where the judge died as it had said so."""
    shown, others = case(GOOD, BAD), committed(OTHER, case(GOOD, BAD).duel)
    mine = await court.judged(shown)
    assert (await court.ballot(shown.duel, mine, others))[0] == 200
    await court.world.crash()
    assert court.world.store is not None
    cast = court.world.store.ballot(shown.duel)
    assert cast is not None
    assert cast.shown == (others,)


async def test_a_judge_that_says_one_letter_in_any_order_has_found_a_tie(court: Court) -> None:
    court.engine.rule = always("A")
    shown = case(GOOD, BAD)
    await court.judged(shown)
    _, told = await court.ballot(shown.duel, committed(OTHER, shown.duel))
    assert told["ballot"]["choice"] == str(int(Choice.TIE))


async def test_whoever_asks_again_gets_the_same_commitment(court: Court) -> None:
    """Another request, another engine's mood, at once or after a crash: never a second ballot to choose."""
    shown = case(GOOD, BAD)
    first = await court.judged(shown)
    court.engine.rule = always("C")
    again = await asyncio.gather(*(court.judged(shown) for _ in range(3)))
    await court.world.crash()
    court.payer.http = court.world.http
    again.append(await court.judged(shown))

    assert {one.message for one in again} == {first.message}
    assert len(court.engine.judged) == 2


async def test_many_who_ask_at_once_get_one_ballot(court: Court) -> None:
    shown = case(GOOD, BAD)
    found = await asyncio.gather(*(court.judged(shown) for _ in range(5)))
    assert len({one.message for one in found}) == 1
    assert len(court.engine.judged) == 2
    inputs = [receipt.input_tokens for receipt in court.payer.receipts.values()]
    assert len(inputs) == 5
    assert sum(count > 0 for count in inputs) == 1


# ------------------------------------------------------------------------------------------- the ballot stays


async def test_no_ballot_is_shown_before_all_have_committed(court: Court) -> None:
    shown, stranger = case(GOOD, BAD), Key(b"\7" * 32)
    mine = await court.judged(shown)
    for wrong in (
        [],
        [mine],
        [committed(stranger, shown.duel)],
        [committed(OTHER, Hash32(b"\1" * 32))],
        [committed(OTHER, shown.duel, key=stranger)],
        [replace(committed(OTHER, shown.duel), signature=bytes(65))],
        [committed(OTHER, shown.duel, ballot_hash=ZERO_HASH)],
    ):
        status, told = await court.ballot(shown.duel, *wrong)
        assert (status, told["error"]["code"]) == (409, "ballot-sealed")


async def test_who_shows_many_commitments_of_one_judge_has_none_of_them_looked_up(court: Court) -> None:
    shown = case(GOOD, BAD)
    mine = await court.judged(shown)
    before = len(court.chain.keys_asked)
    many = [committed(OTHER, shown.duel, key=Key.generate()) for _ in range(63)]
    status, told = await court.ballot(shown.duel, mine, *many)
    assert (status, told["error"]["code"]) == (400, "malformed-message")
    assert len(court.chain.keys_asked) == before


async def test_the_chain_is_asked_once_for_a_key_and_for_one_that_is_wrong_at_most(court: Court) -> None:
    third = Key(b"\x08" * 32)
    court.chain.drawn = (OTHER.address, court.world.key.address, third.address)
    shown = case(GOOD, BAD)
    await court.judged(shown)
    court.chain.keys_asked.clear()
    forged = [committed(judge, shown.duel, key=Key.generate()) for judge in (OTHER, third)]
    assert (await court.ballot(shown.duel, forged[0]))[0] == 409
    assert court.chain.keys_asked == []
    assert (await court.ballot(shown.duel, *forged))[0] == 409
    assert len(court.chain.keys_asked) == 1
    court.chain.keys_asked.clear()
    for _ in range(3):
        assert (await court.ballot(shown.duel, *(committed(judge, shown.duel) for judge in (OTHER, third))))[
            0
        ] == 200
    assert sorted(court.chain.keys_asked) == sorted([OTHER.address, third.address])


async def test_a_crowd_that_asks_for_ballots_holds_up_nobody_else(court: Court) -> None:
    """On a chain that is slow: neither who pays for a judgement nor what the node does in threads waits."""
    shown, threads = case(GOOD, BAD), ThreadPoolExecutor(2)
    await court.judged(shown)
    asyncio.get_running_loop().set_default_executor(threads)
    court.chain.answers.clear()
    court.chain.keys_asked.clear()
    crowd = [
        asyncio.create_task(court.ballot(shown.duel, committed(OTHER, shown.duel, key=Key.generate())))
        for _ in range(12)
    ]
    async with asyncio.timeout(60):
        await until(lambda: len(court.chain.keys_asked) == 2)
        await asyncio.to_thread(lambda: None)
    assert len(court.chain.keys_asked) == 2
    court.chain.answers.set()
    assert {status for status, _ in await asyncio.gather(*crowd)} == {409}


async def test_who_keeps_asking_for_sealed_ballots_is_turned_away(make_world: Make) -> None:
    engine, chain = JudgingEngine(better("Nairobi")), Chain(())
    world = await make_world(engine=engine, bench=lambda world: judging(world, chain), refusals_a_minute=3)
    court = Court(world, await world.payer(), chain, engine)
    told = [await court.ballot(Hash32(b"\1" * 32)) for _ in range(4)]
    assert [status for status, _ in told] == [404, 404, 404, 429]


async def test_of_what_it_did_not_judge_it_has_none(court: Court) -> None:
    status, told = await court.ballot(case(GOOD, BAD).duel)
    assert (status, told["error"]["code"]) == (404, "ballot-unknown")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"duel":"0x","commitments":[]}', b"\xff"])
async def test_what_is_no_question_is_said_to_be_none(court: Court, body: bytes) -> None:
    response = await court.world.http.post(BALLOTS_PATH, content=body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "malformed-message")


# ------------------------------------------------------------------------------------- what it does not judge


async def test_it_judges_nothing_that_it_was_not_drawn_for(court: Court) -> None:
    for panel in ((), (OTHER.address,)):
        court.chain.drawn = panel
        assert await court.refused(case(GOOD, BAD)) == (403, "not-drawn")
    assert court.engine.judged == []


async def test_doctored_answers_are_refused_before_anything_is_reserved(court: Court) -> None:
    doctored = replace(case(GOOD, BAD), first=replace(exhibit(FIRST, GOOD), payloads=BAD))
    assert await court.refused(doctored) == (422, "exhibit-mismatch")
    assert court.chain.asked == court.engine.judged == []


async def test_a_receipt_that_the_provider_did_not_sign_is_refused(court: Court) -> None:
    first = exhibit(FIRST, GOOD)
    forged = sign(first.receipt.message, DOMAIN, OTHER).signed
    shown = replace(case(GOOD, BAD), first=replace(first, receipt=forged))
    assert await court.refused(shown) == (422, "exhibit-mismatch")


@pytest.mark.parametrize("says", ["", "Both are good.", "D"])
async def test_an_engine_that_says_no_verdict_costs_nothing(court: Court, says: str) -> None:
    court.engine.rule = always(says)
    assert await court.refused(case(GOOD, BAD)) == (422, "unjudgeable")


async def test_an_engine_that_refuses_costs_nothing(court: Court) -> None:
    court.engine.refuse = (400, {"error": {"message": "too long"}})
    assert await court.refused(case(GOOD, BAD)) == (422, "unjudgeable")
    court.engine.refuse = None
    await court.judged(case(GOOD, BAD))


@pytest.mark.parametrize("body", [{}, {"case": 1}, {"case": {}}, {"case": None, "messages": []}])
async def test_what_is_no_case_is_refused(court: Court, body: dict[str, Any]) -> None:
    sent = orjson.dumps({"model": court.payer.offer.model} | body)
    response = await court.payer.post(sent, JUDGE_PATH)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "malformed-message")


async def test_nobody_is_judged_for_without_paying(court: Court) -> None:
    response = await court.world.http.post(JUDGE_PATH, content=court.body(case(GOOD, BAD)))
    assert response.status_code == 402


async def test_a_gateway_without_a_judge_has_no_such_routes(world: World) -> None:
    for path in (JUDGE_PATH, BALLOTS_PATH):
        assert (await world.http.post(path, content=b"{}")).status_code == 404
