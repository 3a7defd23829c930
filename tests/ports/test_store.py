"""The same questions to every store. The one in memory is the definition."""

import asyncio
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.eip712 import Domain
from tallystick.protocol.grant import Grant
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Key, Signed, sign
from tallystick.protocol.units import (
    ZERO_HASH,
    Address,
    Atoms,
    ChannelId,
    Hash32,
    Milliseconds,
    Timestamp,
    Tokens,
)
from tallystick.protocol.vote import Ballot, Choice
from tallystick.protocol.voucher import Acknowledgement, Tally, Voucher
from tallystick.protocol.wire import receipt_text
from tallystick_node.store.memory import MemoryStore
from tallystick_node.store.migrate import DatabaseNewer
from tallystick_node.store.records import (
    BallotCast,
    BallotShown,
    Born,
    ChannelSaved,
    Presented,
    ReceiptIssued,
    RequestDropped,
    RequestEnded,
    RequestStarted,
    Store,
    VoucherSaved,
)
from tallystick_node.store.sqlite import DatabaseInUse, SqliteStore, StoreFailed

DOMAIN = Domain(chain_id=31337, contract=Address(bytes(20)))
KEY = Key(b"\1" * 32)
CHANNEL = ChannelKey(payer=Address(b"\2" * 20), provider=KEY.address, session_key=KEY.address, epoch=3)
HUGE = Atoms((1 << 96) - 1)
"""More than an SQLite integer holds."""
NONCE = (1 << 64) - 1


@pytest.fixture(params=["memory", "process", "power"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    durability = request.param
    made: Store = MemoryStore() if durability == "memory" else SqliteStore(tmp_path / "node.db", durability)
    yield made
    made.close()


def channel(**changes: object) -> ChannelSaved:
    saved = ChannelSaved(key=CHANNEL, channel_id=CHANNEL.id, grant=None, closed=False, refusing=False)
    return replace(saved, **changes)  # type: ignore[arg-type]


def started(nonce: int = NONCE, request_hash: Hash32 = ZERO_HASH) -> RequestStarted:
    return RequestStarted(channel_id=CHANNEL.id, nonce=nonce, request_hash=request_hash)


def receipt(tally: Tally, cost: int = 100) -> Signed[Receipt]:
    message = Receipt(
        channel_id=CHANNEL.id,
        sequence=tally.count,
        offer_hash=ZERO_HASH,
        request_hash=ZERO_HASH,
        response_hash=ZERO_HASH,
        tokens_hash=ZERO_HASH,
        input_tokens=Tokens(1),
        cached_input_tokens=Tokens(0),
        output_tokens=Tokens(1),
        finish=1,
        received_at=Milliseconds(1),
        first_token_at=Milliseconds(2),
        finished_at=Milliseconds(3),
        cost=Atoms(cost),
        cumulative_cost=Atoms(tally.amount + cost),
    )
    return sign(message, DOMAIN, KEY).signed


def issued(signed: Signed[Receipt], nonce: int = NONCE, content: bytes = b"answer") -> ReceiptIssued:
    return ReceiptIssued(receipt=signed, text=receipt_text(signed), nonce=nonce, content=content)


def ended(nonce: int = NONCE, content: bytes = b"", at: int = 1000) -> RequestEnded:
    return RequestEnded(
        channel_id=CHANNEL.id,
        nonce=nonce,
        media_type="application/json",
        content=content,
        ended_at=Milliseconds(at),
    )


def held(tally: Tally) -> VoucherSaved:
    return VoucherSaved(voucher=sign(tally.voucher(CHANNEL.id), DOMAIN, KEY).signed, tally=tally)


def tallies(count: int) -> tuple[list[Signed[Receipt]], list[Tally]]:
    """Receipts in a row, and the tally after each."""
    receipts, after = [], [Tally()]
    for _ in range(count):
        receipts.append(receipt(after[-1]))
        after.append(after[-1].append(receipts[-1].message))
    return receipts, after


async def test_a_channel_comes_back_as_it_was_saved_last(store: Store) -> None:
    grant = Grant(
        payer=CHANNEL.payer,
        provider=CHANNEL.provider,
        session_key=CHANNEL.session_key,
        epoch=3,
        cap=HUGE,
        deadline=Timestamp(5),
    )
    signed = sign(grant, DOMAIN, KEY).signed
    await store.save(channel())
    await store.save(channel(grant=signed, refusing=True), channel(grant=signed, refusing=True, closed=True))
    (found,) = store.channels()
    assert (found.key, found.grant, found.closed, found.refusing) == (CHANNEL, signed, True, True)
    assert (found.voucher, found.acknowledged, found.unacknowledged) == (None, Tally(), ())


async def test_the_largest_voucher_wins(store: Store) -> None:
    _, after = tallies(3)
    await store.save(channel())
    for tally in (after[2], after[1], after[2]):
        await store.save(held(tally))
    (found,) = store.channels()
    assert found.voucher == held(after[2]).voucher
    assert found.acknowledged == after[2]


async def test_what_was_presented_is_found_by_the_receipts_that_it_speaks_of(store: Store) -> None:
    def acknowledgement(count: int, nonce: int = 0) -> Acknowledgement:
        return Acknowledgement(
            receipt_count=count, receipts_root=Hash32(b"\3" * 32), request_nonce=NONCE - nonce
        )

    first, second, twin, other = (acknowledgement(*item) for item in ((2,), (7,), (7, 1), (3,)))
    for item in (second, first, second, twin):
        await store.save(Presented(channel_id=CHANNEL.id, acknowledgement=item))
    await store.save(Presented(channel_id=ChannelId(bytes(32)), acknowledgement=other))
    assert {*store.presented(CHANNEL.id, 0, 7)} == {first, second, twin}
    assert [item.receipt_count for item in store.presented(CHANNEL.id, 0, 9)] == [2, 7, 7]
    assert store.presented(CHANNEL.id, 0, 6) == [first]
    assert store.presented(CHANNEL.id, 2, 2) == []
    assert store.presented(ChannelId(b"\4" * 32), 0, 9) == []


async def test_an_amount_may_be_larger_than_a_database_integer(store: Store) -> None:
    signed = receipt(Tally(), HUGE)
    tally = Tally().append(signed.message)
    await store.save(channel(), started(), issued(signed), held(tally))
    (found,) = store.channels()
    assert found.acknowledged.amount == HUGE
    voucher: Voucher = found.voucher.message  # type: ignore[union-attr]
    assert voucher.cumulative_amount == HUGE


async def test_receipts_after_the_voucher_come_back_in_order(store: Store) -> None:
    receipts, after = tallies(5)
    await store.save(channel())
    for number, signed in enumerate(receipts):
        await store.save(started(number + 1), issued(signed, number + 1), ended(number + 1))
    await store.save(held(after[2]))
    (found,) = store.channels()
    assert found.unacknowledged == tuple(signed.message for signed in receipts[2:])
    assert store.receipts(CHANNEL.id, 1, 3) == receipts[1:4]
    assert store.receipts(CHANNEL.id, 5, 3) == []
    assert store.receipts(ChannelId(bytes(32)), 0, 3) == []


async def test_an_answer_is_there_once_it_has_ended(store: Store) -> None:
    receipts, _ = tallies(2)
    assert store.answer(CHANNEL.id, NONCE) is None
    await store.save(channel(), started(request_hash=Hash32(b"\7" * 32)))
    assert store.answer(CHANNEL.id, NONCE) is None
    await store.save(issued(receipts[0], content=b"one "))
    await store.save(issued(receipts[1], content=b"two "), ended(content=b"end"))
    answer = store.answer(CHANNEL.id, NONCE)
    assert answer is not None
    assert (answer.request_hash, answer.content) == (b"\7" * 32, b"one two end")
    assert answer.receipt == receipt_text(receipts[1])
    assert store.answer(CHANNEL.id, 1) is None


async def test_a_dropped_request_frees_its_nonce(store: Store) -> None:
    await store.save(channel(), started())
    await store.save(RequestDropped(channel_id=CHANNEL.id, nonce=NONCE))
    assert store.answer(CHANNEL.id, NONCE) is None
    await store.save(started())


async def test_a_start_ends_what_a_crash_cut_off(store: Store) -> None:
    receipts, _ = tallies(1)
    await store.save(channel(), started(1), started(2))
    await store.save(issued(receipts[0], 1, b"billed"))
    (found,) = store.channels()
    assert found.unacknowledged == (receipts[0].message,)
    answer = store.answer(CHANNEL.id, 1)
    assert answer is not None
    assert (answer.content, answer.media_type[:17]) == (
        b"billeddata: [DONE]\n\n",
        "text/event-stream",
    )
    assert store.answer(CHANNEL.id, 2) is None
    await store.save(started(2))


async def test_pruning_keeps_what_may_still_be_asked_for(store: Store) -> None:
    receipts, after = tallies(3)
    await store.save(channel())
    for number, signed in enumerate(receipts):
        await store.save(
            started(number + 1), issued(signed, number + 1), ended(number + 1, at=1000 * (number + 1))
        )
    await store.save(held(after[2]))
    assert store.prune(Milliseconds(1000)) == 0  # Half-open: it ended at 1000.
    assert store.prune(Milliseconds(9000)) == 2  # The third is not acknowledged.
    assert store.prune(Milliseconds(9000)) == 0
    contents = [store.answer(CHANNEL.id, nonce) for nonce in (1, 2, 3)]
    assert [answer and answer.content for answer in contents] == [None, None, b"answer"]
    assert all(answer is not None for answer in contents)
    await store.save(channel(closed=True))
    assert store.prune(Milliseconds(9000)) == 1
    assert len(store.receipts(CHANNEL.id, 0, 10)) == 3


async def test_answers_over_the_limit_go_before_their_time_the_oldest_acknowledged_first(
    store: Store,
) -> None:
    receipts, after = tallies(4)
    await store.save(channel())
    for number, signed in enumerate(receipts):
        await store.save(
            started(number + 1), issued(signed, number + 1), ended(number + 1, at=9000 - 1000 * number)
        )
    await store.save(held(after[3]))
    size = len(b"answer")
    assert store.prune(Milliseconds(0), 4 * size) == 0
    if isinstance(store, MemoryStore):  # SQLite's prunes in batches larger than this.
        assert store.prune(Milliseconds(0), 2 * size) == 2
        contents = [store.answer(CHANNEL.id, nonce) for nonce in (1, 2, 3, 4)]
        assert [answer and answer.content for answer in contents] == [b"answer", None, None, b"answer"]
    store.prune(Milliseconds(0), 0)
    contents = [store.answer(CHANNEL.id, nonce) for nonce in (1, 2, 3, 4)]
    assert [answer and answer.content for answer in contents] == [None, None, None, b"answer"]


async def test_a_birth_is_kept(store: Store) -> None:
    assert store.birth() is None
    await store.save(Born(block=7))
    assert store.birth() == 7


# ------------------------------------------------------------------------------------------- SQLite alone


async def test_saves_at_one_time_share_a_commit(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "node.db")
    commits = 0

    def trace(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    store._db.set_trace_callback(trace)
    await asyncio.gather(*(store.save(started(nonce)) for nonce in range(1, 65)))
    assert commits == 1
    store.close()


async def test_what_is_saved_survives_the_process(tmp_path: Path) -> None:
    receipts, after = tallies(1)
    store = SqliteStore(tmp_path / "node.db")
    await store.save(channel(), started(), issued(receipts[0]), ended(), held(after[1]))
    store.close()
    again = SqliteStore(tmp_path / "node.db")
    (found,) = again.channels()
    assert found.acknowledged == after[1]
    again.close()


async def test_a_save_that_fails_is_the_last(tmp_path: Path) -> None:
    receipts, _ = tallies(1)
    store = SqliteStore(tmp_path / "node.db")
    await store.save(channel(), started(), issued(receipts[0]))
    with pytest.raises(sqlite3.IntegrityError):
        await store.save(issued(receipts[0]))
    with pytest.raises(StoreFailed):
        await store.save(started(5))
    assert len(store.receipts(CHANNEL.id, 0, 9)) == 1
    store.close()


def test_one_database_serves_one_node(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "node.db")
    with pytest.raises(DatabaseInUse):
        SqliteStore(tmp_path / "node.db")
    store.close()
    SqliteStore(tmp_path / "node.db").close()


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "node.db").close()
    with sqlite3.connect(tmp_path / "node.db") as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    db.close()
    with pytest.raises(DatabaseNewer, match="9999"):
        SqliteStore(tmp_path / "node.db")


def cast(choice: Choice = Choice.FIRST, duel: bytes = b"\1" * 32) -> BallotCast:
    ballot = Ballot(
        duel=Hash32(duel),
        judge=KEY.address,
        body_hash=ZERO_HASH,
        first_response_hash=ZERO_HASH,
        second_response_hash=ZERO_HASH,
        choice=choice,
        salt=Hash32(b"\2" * 32),
    )
    return BallotCast(ballot=ballot, panel=(KEY.address, Address(b"\3" * 20)))


async def test_the_first_ballot_of_a_duel_stands(store: Store) -> None:
    assert store.ballot(Hash32(b"\1" * 32)) is None
    await store.save(cast())
    await store.save(cast(Choice.SECOND), cast(Choice.TIE, b"\4" * 32))

    assert store.ballot(Hash32(b"\1" * 32)) == cast()
    assert store.ballot(Hash32(b"\4" * 32)) == cast(Choice.TIE, b"\4" * 32)


async def test_a_ballot_keeps_what_it_was_first_shown_for(store: Store) -> None:
    other = Key(b"\7" * 32)
    first, second = (
        sign(replace(cast().ballot.commitment, judge=other.address, ballot_hash=Hash32(word)), DOMAIN, other)
        for word in (b"\1" * 32, b"\2" * 32)
    )
    await store.save(cast())
    for shown in (first, second):
        await store.save(BallotShown(duel=cast().ballot.duel, commitments=(shown.signed,)))
    assert store.ballot(cast().ballot.duel) == replace(cast(), shown=(first.signed,))
