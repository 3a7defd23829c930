"""The store on SQLite, in WAL mode, with group commit.

What a save survives once it returned is its `durability`:

process   SIGKILL at any point: the commit is in the operating system's hands (`synchronous=NORMAL`).
          Whatever asks to be saved in one turn of the event loop shares one transaction on the loop's own
          thread: it takes some 50 µs and waits for no disk, and handing it to another thread costs more,
          because every statement would have to win the interpreter back. A power cut may lose the last
          moments.
power     the loss of power too: the commit is on the disk (`synchronous=FULL`, an fsync of the log). That
          takes milliseconds, so it runs in a thread on a connection of its own; whatever asks to be saved
          meanwhile shares the next transaction.

Checkpoints, which wait for the disk in both, run in a thread.
"""

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from tallystick.crash import point
from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.grant import Grant
from tallystick.protocol.merkle import Mountains
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Address, Atoms, ChannelId, Hash32, Milliseconds, address
from tallystick.protocol.vote import Ballot, VoteCommitment
from tallystick.protocol.voucher import Acknowledgement, Tally, Voucher
from tallystick.protocol.wire import read_receipt_text, signed_from_json
from tallystick_node.store.memory import STREAM, STREAM_END
from tallystick_node.store.migrate import migrate
from tallystick_node.store.records import BallotCast, Change, StoredAnswer, StoredChannel
from tallystick_node.store.starts import DatabaseInUse, StartLog, boot, may_have_forgotten
from tallystick_node.store.statements import (
    ANSWER_BYTES,
    BALLOT,
    BIRTH,
    CHANNELS,
    DELETE_PARTS,
    DROP_UNBILLED,
    EMPTY,
    END_CUT_OFF,
    END_STREAM,
    FORGET,
    LAST_RECEIPT,
    LOSE_ALL,
    MARK_PRUNED,
    PARTS,
    PRESENTED,
    PRUNABLE,
    PRUNED_AT_ONCE,
    RECEIPTS,
    REQUEST,
    nonce_bytes,
    peaks_of,
    rows_of,
)

Durability = Literal["process", "power"]

_LOG_PAGES: Final = 4096
"""Of 4 KiB: a log so long is moved into the database by the commit that finds it, because under steady load
the thread's checkpoints never reach its end."""
_FOREVER: Final = Milliseconds((1 << 63) - 1)


__all__ = ["DatabaseInUse", "Durability", "SqliteStore", "StoreFailed"]


class StoreFailed(Exception):
    """Stop and start again from what is on disk."""


_Pending = tuple[tuple[Change, ...], "asyncio.Future[None]"]


class SqliteStore:
    """`prune` and `checkpoint` may run in another thread; everything else belongs to the loop's."""

    def __init__(self, path: Path, durability: Durability = "process"):
        """Makes or migrates the database.

        Raises
        ------
        DatabaseInUse :
            Another process has it open.
        DatabaseNewer :
            A later version of this program has migrated it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._starts = StartLog(path.with_name(path.name + ".lock"))
        engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
        try:
            migrate(engine)
        except BaseException:
            self._starts.close()
            raise
        self._path = path
        self._synchronous = "FULL" if durability == "power" else "NORMAL"
        self._db = self._connect()
        self._thread = ThreadPoolExecutor(1, "tallystick-store") if durability == "power" else None
        self._writer = self._connect() if self._thread else self._db
        self._writer.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        self._background = self._connect()
        self._background_lock = threading.Lock()
        self.failure: Exception | None = None
        self._pending: list[_Pending] = []
        self._committing = False
        self._durability = durability
        self._begin()

    def _begin(self) -> None:
        """Counts this start."""
        (count,) = self._db.execute("PRAGMA user_version").fetchone()
        last = self._starts.read()
        (empty,) = self._db.execute(EMPTY).fetchone()
        if may_have_forgotten(count, last, boot(), empty=bool(empty)):
            self.lose_all()
        highest = max(count, last.count if last else 0)
        self._count(highest + 1 + highest % 2)

    def _count(self, count: int) -> None:
        """In the database first: a crash between the two must not make an original look like a copy."""
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(f"PRAGMA user_version = {count}")
        self._db.execute(f"PRAGMA synchronous = {self._synchronous}")
        self._starts.write(count, self._durability)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        for pragma in ("journal_mode = WAL", f"synchronous = {self._synchronous}", "foreign_keys = ON"):
            db.execute(f"PRAGMA {pragma}")
        return db

    # --------------------------------------------------------------------------------------------- writing

    async def save(self, *changes: Change) -> None:
        """Raises StoreFailed after the first save that failed: what is in memory is ahead of what is kept."""
        if self.failure is not None:
            raise StoreFailed("An earlier save failed.") from self.failure
        loop = asyncio.get_running_loop()
        if not self._pending and not self._committing:
            loop.call_soon(self._commit)
        done: asyncio.Future[None] = loop.create_future()
        self._pending.append((changes, done))
        await done

    def _commit(self) -> None:
        """Everything that was asked to be saved since the last commit began, in one transaction."""
        pending, self._pending = self._pending, []
        changes = [change for changes, _ in pending for change in changes]
        if self._thread is not None:
            self._committing = True
            writing = asyncio.get_running_loop().run_in_executor(self._thread, self._write, changes)
            writing.add_done_callback(lambda written: self._committed(pending, written.exception()))
            return
        try:
            self._write(changes)
        except Exception as error:  # noqa: BLE001  whatever it is, it is the savers' to know
            self._tell(pending, error)
        else:
            self._tell(pending, None)

    def _committed(self, pending: list[_Pending], error: BaseException | None) -> None:
        """Of the commit in the thread: the next one begins, unless this one failed."""
        self._committing = False
        self._tell(pending, error)
        if not self._pending:
            return
        if self.failure is None:
            self._commit()
        else:
            waiting, self._pending = self._pending, []
            self._tell(waiting, StoreFailed("An earlier save failed."))

    def _tell(self, pending: list[_Pending], error: BaseException | None) -> None:
        if error is not None and self.failure is None:
            self.failure = error if isinstance(error, Exception) else StoreFailed(repr(error))
        for _, done in pending:
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

    def _write(self, changes: list[Change]) -> None:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            for change in changes:
                for statement, row in rows_of(change):
                    self._writer.execute(statement, row)
            point("commit.begun")
            self._writer.execute("COMMIT")
        except BaseException:
            self._writer.execute("ROLLBACK")
            raise
        point("commit.done")

    def checkpoint(self) -> None:
        """Moves what was committed from the log into the database, as far as readers allow."""
        with self._background_lock:
            self._background.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def prune(self, before: Milliseconds, limit: int | None = None) -> int:
        count = 0
        while pruned := self._prune_some(before):
            count += pruned
        while limit is not None and self.answer_bytes() > limit and (pruned := self._prune_some(_FOREVER)):
            count += pruned
        return count

    def answer_bytes(self) -> int:
        """That stored answers take."""
        with self._background_lock:
            (total,) = self._background.execute(ANSWER_BYTES).fetchone()
        return int(total)

    def _prune_some(self, before: Milliseconds) -> int:
        """Prunes a batch, the oldest first, small enough that the loop's own commits hardly wait for it."""
        with self._background_lock:
            db = self._background
            rows = db.execute(PRUNABLE, {"before": before, "limit": PRUNED_AT_ONCE}).fetchall()
            keys = [{"channel_id": channel_id, "nonce": nonce} for channel_id, nonce in rows]
            db.execute("BEGIN IMMEDIATE")
            try:
                db.executemany(MARK_PRUNED, keys)
                db.executemany(DELETE_PARTS, keys)
                point("prune.begun")
                db.execute("COMMIT")
            except BaseException:
                db.execute("ROLLBACK")
                raise
            return len(keys)

    def lose_all(self) -> int:
        """Marks every channel as one of which something may be forgotten, and the database as one whose
        past is not known; how many. For a database that is a copy."""
        self._db.execute("BEGIN IMMEDIATE")
        count = self._db.execute(LOSE_ALL).rowcount
        self._db.execute(FORGET)
        self._db.execute("COMMIT")
        return count

    @property
    def forgetful(self) -> bool:
        row = self._db.execute(BIRTH).fetchone()
        return row is not None and row[0] < 0

    def end(self) -> None:
        """Cleanly: all that was saved is on the disk, and so is from now on whatever is, before its save
        returns; a loss of power loses nothing."""
        (count,) = self._db.execute("PRAGMA user_version").fetchone()
        if count % 2 == 1:
            self._synchronous = "FULL"
            self._count(count + 1)

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()
        if self.failure is None:
            self.end()
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for connection in {self._db, self._writer, self._background}:
            connection.close()
        self._starts.close()

    # --------------------------------------------------------------------------------------------- reading

    def birth(self) -> int | None:
        row = self._db.execute(BIRTH).fetchone()
        return None if row is None or row[0] < 0 else int(row[0])

    def channels(self) -> list[StoredChannel]:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(DROP_UNBILLED)
        self._db.execute(END_STREAM, {"content": STREAM_END})
        self._db.execute(END_CUT_OFF, {"media_type": STREAM})
        self._db.execute("COMMIT")
        return [self._channel(row) for row in self._db.execute(CHANNELS).fetchall()]

    def _channel(self, row: tuple[Any, ...]) -> StoredChannel:
        (
            channel_id,
            payer,
            provider,
            session_key,
            epoch,
            grant,
            closed,
            refusing,
            lost,
            voucher,
            count,
            amount,
            peaks,
        ) = row
        acknowledged = Tally()
        if voucher is not None:
            acknowledged = Tally(Mountains(count, peaks_of(peaks)), Atoms(int(amount)))
        receipts = self.receipts(ChannelId(channel_id), acknowledged.count, -1)
        return StoredChannel(
            key=ChannelKey(
                payer=Address(payer),
                provider=Address(provider),
                session_key=Address(session_key),
                epoch=epoch,
            ),
            channel_id=ChannelId(channel_id),
            grant=signed_from_json(Grant, orjson.loads(grant)) if grant else None,
            closed=bool(closed),
            refusing=bool(refusing),
            lost=bool(lost),
            voucher=signed_from_json(Voucher, orjson.loads(voucher)) if voucher else None,
            acknowledged=acknowledged,
            unacknowledged=tuple(signed.message for signed in receipts),
        )

    def answer(self, channel_id: ChannelId, nonce: int) -> StoredAnswer | None:
        key = {"channel_id": channel_id, "nonce": nonce_bytes(nonce)}
        row = self._db.execute(REQUEST, key).fetchone()
        if row is None:
            return None
        request_hash, media_type, pruned = row
        parts = self._db.execute(PARTS, key).fetchall()
        receipt = self._db.execute(LAST_RECEIPT, key).fetchone()
        return StoredAnswer(
            request_hash=Hash32(request_hash),
            media_type=media_type,
            content=None if pruned else b"".join(content for (content,) in parts),
            receipt=receipt[0] if receipt else None,
        )

    def receipts(self, channel_id: ChannelId, start: int, limit: int) -> list[Signed[Receipt]]:
        return [read_receipt_text(text) for text in self.texts(channel_id, start, limit)]

    def presented(self, channel_id: ChannelId, above: int, most: int) -> list[Acknowledgement]:
        rows = self._db.execute(PRESENTED, {"channel_id": channel_id, "above": above, "most": most})
        return [Acknowledgement.from_json(orjson.loads(text)) for (text,) in rows.fetchall()]

    def ballot(self, duel: Hash32) -> BallotCast | None:
        row = self._db.execute(BALLOT, {"duel": duel}).fetchone()
        if row is None:
            return None
        ballot, panel, shown = (orjson.loads(text or "[]") for text in row)
        return BallotCast(
            ballot=Ballot.from_json(ballot),
            panel=tuple(map(address, panel)),
            shown=tuple(signed_from_json(VoteCommitment, one) for one in shown),
        )

    def texts(self, channel_id: ChannelId, start: int, limit: int) -> list[str]:
        rows = self._db.execute(RECEIPTS, {"channel_id": channel_id, "start": start, "limit": limit})
        return [text for (text,) in rows.fetchall()]
