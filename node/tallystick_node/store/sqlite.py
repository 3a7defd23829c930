"""The store on SQLite, in WAL mode, with group commit.

Durability is the process's: a commit is in the operating system's hands when `save` returns
(`synchronous=NORMAL`), so SIGKILL at any point loses nothing, and a power cut may lose the last moments.
Whatever asks to be saved in one turn of the event loop shares one transaction. It runs on the loop's own
thread: such a commit takes some 50 µs and waits for no disk, and handing it to another thread costs more,
because every statement would have to win the interpreter back. Checkpoints, which do wait for the disk, run
in a thread.
"""

import asyncio
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy import Insert, Table, create_engine
from sqlalchemy.dialects.sqlite import dialect, insert
from sqlalchemy.pool import NullPool

from tallystick.protocol.channel import ChannelKey
from tallystick.protocol.grant import Grant
from tallystick.protocol.merkle import Mountains
from tallystick.protocol.receipt import Receipt
from tallystick.protocol.signed import Signed
from tallystick.protocol.units import Address, Atoms, ChannelId, Hash32, Milliseconds
from tallystick.protocol.voucher import Tally, Voucher
from tallystick.protocol.wire import read_receipt_text, signed_from_json, signed_to_json
from tallystick_node.store.memory import STREAM, STREAM_END
from tallystick_node.store.migrate import migrate
from tallystick_node.store.models import ChannelRow, RequestRow, VoucherRow
from tallystick_node.store.records import (
    Change,
    ChannelSaved,
    ReceiptIssued,
    RequestDropped,
    RequestEnded,
    RequestStarted,
    StoredAnswer,
    StoredChannel,
    VoucherSaved,
)

_LOG_PAGES: Final = 4096
"""Of 4 KiB: a log so long is moved into the database by the commit that finds it, because under steady load
the thread's checkpoints never reach its end."""
_DIALECT: Final = dialect(paramstyle="named")


class DatabaseInUse(Exception):
    """Another process holds it: two nodes on one database would issue two receipts under one sequence."""


class StoreFailed(Exception):
    """Stop and start again from what is on disk."""


class SqliteStore:
    """`prune` and `checkpoint` may run in another thread; everything else belongs to the loop's."""

    def __init__(self, path: Path):
        """Makes or migrates the database.

        Raises
        ------
        DatabaseInUse :
            Another process has it open.
        DatabaseNewer :
            A later version of this program has migrated it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(path.with_name(path.name + ".lock"))
        engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
        try:
            migrate(engine)
        except BaseException:
            os.close(self._lock)
            raise
        self._path = path
        self._db = self._connect()
        self._db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        self._background = self._connect()
        self._background_lock = threading.Lock()
        self.failure: Exception | None = None
        self._pending: list[tuple[tuple[Change, ...], asyncio.Future[None]]] = []

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            db.execute(f"PRAGMA {pragma}")
        return db

    # --------------------------------------------------------------------------------------------- writing

    async def save(self, *changes: Change) -> None:
        """Raises StoreFailed after the first save that failed: what is in memory is ahead of what is kept."""
        if self.failure is not None:
            raise StoreFailed("An earlier save failed.") from self.failure
        loop = asyncio.get_running_loop()
        if not self._pending:
            loop.call_soon(self._commit)
        done: asyncio.Future[None] = loop.create_future()
        self._pending.append((changes, done))
        await done

    def _commit(self) -> None:
        """Everything that was asked to be saved since the last turn, in one transaction."""
        pending, self._pending = self._pending, []
        try:
            self._write([change for changes, _ in pending for change in changes])
        except Exception as error:  # noqa: BLE001  whatever it is, it is the savers' to know
            self.failure = error
            for _, done in pending:
                if not done.done():
                    done.set_exception(error)
            return
        for _, done in pending:
            if not done.done():
                done.set_result(None)

    def _write(self, changes: list[Change]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for change in changes:
                for statement, row in _rows(change):
                    self._db.execute(statement, row)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def checkpoint(self) -> None:
        """Moves what was committed from the log into the database, as far as readers allow."""
        with self._background_lock:
            self._background.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def prune(self, before: Milliseconds) -> int:
        count = 0
        while keys := self._prune_some(before):
            count += len(keys)
        return count

    def _prune_some(self, before: Milliseconds) -> list[dict[str, bytes]]:
        """Prunes a batch, small enough that the loop's own commits hardly wait for it."""
        with self._background_lock:
            db = self._background
            rows = db.execute(_PRUNABLE, {"before": before, "limit": _PRUNED_AT_ONCE}).fetchall()
            keys = [{"channel_id": channel_id, "nonce": nonce} for channel_id, nonce in rows]
            db.execute("BEGIN IMMEDIATE")
            try:
                db.executemany(_MARK_PRUNED, keys)
                db.executemany(_DELETE_PARTS, keys)
                db.execute("COMMIT")
            except BaseException:
                db.execute("ROLLBACK")
                raise
            return keys

    def close(self) -> None:
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()
        self._background.close()
        os.close(self._lock)

    # --------------------------------------------------------------------------------------------- reading

    def channels(self) -> list[StoredChannel]:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(_DROP_UNBILLED)
        self._db.execute(_END_STREAM, {"content": STREAM_END})
        self._db.execute(_END_CUT_OFF, {"media_type": STREAM})
        self._db.execute("COMMIT")
        return [self._channel(row) for row in self._db.execute(_CHANNELS).fetchall()]

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
            voucher,
            count,
            amount,
            peaks,
        ) = row
        acknowledged = Tally()
        if voucher is not None:
            acknowledged = Tally(Mountains(count, _peaks(peaks)), Atoms(int(amount)))
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
            voucher=signed_from_json(Voucher, orjson.loads(voucher)) if voucher else None,
            acknowledged=acknowledged,
            unacknowledged=tuple(signed.message for signed in receipts),
        )

    def answer(self, channel_id: ChannelId, nonce: int) -> StoredAnswer | None:
        key = {"channel_id": channel_id, "nonce": _nonce(nonce)}
        row = self._db.execute(_REQUEST, key).fetchone()
        if row is None:
            return None
        request_hash, media_type, pruned = row
        parts = self._db.execute(_PARTS, key).fetchall()
        receipt = self._db.execute(_LAST_RECEIPT, key).fetchone()
        return StoredAnswer(
            request_hash=Hash32(request_hash),
            media_type=media_type,
            content=None if pruned else b"".join(content for (content,) in parts),
            receipt=receipt[0] if receipt else None,
        )

    def receipts(self, channel_id: ChannelId, start: int, limit: int) -> list[Signed[Receipt]]:
        rows = self._db.execute(_RECEIPTS, {"channel_id": channel_id, "start": start, "limit": limit})
        return [read_receipt_text(text) for (text,) in rows.fetchall()]


def _locked(path: Path) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise DatabaseInUse(f"Another node runs on this database ({path} is locked).") from error
    return lock


def _nonce(nonce: int) -> bytes:
    return nonce.to_bytes(8, "big")


def _peaks(joined: bytes) -> tuple[Hash32, ...]:
    return tuple(Hash32(joined[start : start + 32]) for start in range(0, len(joined), 32))


def _text(statement: Insert) -> str:
    """Compiled once: on a request's way the driver is called directly."""
    return str(statement.compile(dialect=_DIALECT))


def _upsert(table: Table, key: str) -> str:
    statement = insert(table)
    columns = {column.name: statement.excluded[column.name] for column in table.columns if column.name != key}
    return _text(statement.on_conflict_do_update(index_elements=[key], set_=columns))


def _table(model: Any) -> Table:
    table = model.__table__
    assert isinstance(table, Table)
    return table


_SAVE_CHANNEL: Final = _upsert(_table(ChannelRow), "channel_id")
_SAVE_VOUCHER: Final = (
    _upsert(_table(VoucherRow), "channel_id") + " WHERE excluded.receipt_count > vouchers.receipt_count"
)
_START: Final = _text(insert(_table(RequestRow)).prefix_with("OR REPLACE"))
"""In place of one that was broken off and never billed."""
_RECEIPT: Final = (
    "INSERT INTO receipts (channel_id, sequence, nonce, text) VALUES (:channel_id, :sequence, :nonce, :text)"
)
_PART: Final = (
    "INSERT INTO parts (channel_id, nonce, sequence, content) "
    "VALUES (:channel_id, :nonce, :sequence, :content)"
)
_END: Final = (
    "UPDATE requests SET media_type = :media_type, ended_at = :ended_at "
    "WHERE channel_id = :channel_id AND nonce = :nonce"
)
_DROP: Final = "DELETE FROM requests WHERE channel_id = :channel_id AND nonce = :nonce"

_OF_REQUEST: Final = "parts.channel_id = requests.channel_id AND parts.nonce = requests.nonce"
_DROP_UNBILLED: Final = (
    f"DELETE FROM requests WHERE ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM parts WHERE {_OF_REQUEST})"
)
_END_STREAM: Final = (
    "INSERT INTO parts (channel_id, nonce, sequence, content) "
    "SELECT channel_id, nonce, NULL, :content FROM requests WHERE ended_at IS NULL"
)
_END_CUT_OFF: Final = (
    "UPDATE requests SET media_type = :media_type, ended_at = unixepoch() * 1000 WHERE ended_at IS NULL"
)
_CHANNELS: Final = (
    "SELECT c.channel_id, payer, provider, session_key, epoch, signed_grant, closed, refusing, "
    "voucher, receipt_count, amount, peaks "
    "FROM channels c LEFT JOIN vouchers USING (channel_id) ORDER BY c.rowid"
)
_REQUEST: Final = (
    "SELECT request_hash, media_type, pruned FROM requests "
    "WHERE channel_id = :channel_id AND nonce = :nonce AND ended_at IS NOT NULL"
)
_PARTS: Final = "SELECT content FROM parts WHERE channel_id = :channel_id AND nonce = :nonce ORDER BY id"
_LAST_RECEIPT: Final = (
    "SELECT text FROM receipts WHERE channel_id = :channel_id AND sequence = "
    "(SELECT max(sequence) FROM parts WHERE channel_id = :channel_id AND nonce = :nonce)"
)
_RECEIPTS: Final = (
    "SELECT text FROM receipts WHERE channel_id = :channel_id AND sequence >= :start "
    "ORDER BY sequence LIMIT :limit"
)
_PRUNABLE: Final = (
    "SELECT channel_id, nonce FROM requests WHERE ended_at < :before AND NOT pruned AND ("
    "EXISTS (SELECT 1 FROM channels c WHERE c.channel_id = requests.channel_id AND c.closed) OR NOT EXISTS "
    f"(SELECT 1 FROM parts WHERE {_OF_REQUEST} AND parts.sequence >= coalesce("
    "(SELECT receipt_count FROM vouchers v WHERE v.channel_id = requests.channel_id), 0))) LIMIT :limit"
)
_PRUNED_AT_ONCE: Final = 200
_MARK_PRUNED: Final = "UPDATE requests SET pruned = 1 WHERE channel_id = :channel_id AND nonce = :nonce"
_DELETE_PARTS: Final = "DELETE FROM parts WHERE channel_id = :channel_id AND nonce = :nonce"

_Row = tuple[str, Mapping[str, Any]]


def _rows(change: Change) -> Iterable[_Row]:
    return _WRITERS[type(change)](change)


def _channel_saved(change: ChannelSaved) -> Iterable[_Row]:
    key = change.key
    yield (
        _SAVE_CHANNEL,
        {
            "channel_id": change.channel_id,
            "payer": key.payer,
            "provider": key.provider,
            "session_key": key.session_key,
            "epoch": key.epoch,
            "signed_grant": orjson.dumps(signed_to_json(change.grant)).decode() if change.grant else None,
            "closed": change.closed,
            "refusing": change.refusing,
        },
    )


def _voucher_saved(change: VoucherSaved) -> Iterable[_Row]:
    yield (
        _SAVE_VOUCHER,
        {
            "channel_id": change.voucher.message.channel_id,
            "voucher": orjson.dumps(signed_to_json(change.voucher)).decode(),
            "receipt_count": change.tally.count,
            "amount": str(change.tally.amount),
            "peaks": b"".join(change.tally.mountains.peaks),
        },
    )


def _request_started(change: RequestStarted) -> Iterable[_Row]:
    yield (
        _START,
        {
            "channel_id": change.channel_id,
            "nonce": _nonce(change.nonce),
            "request_hash": change.request_hash,
            "media_type": None,
            "ended_at": None,
            "pruned": False,
        },
    )


def _receipt_issued(change: ReceiptIssued) -> Iterable[_Row]:
    receipt, nonce = change.receipt.message, _nonce(change.nonce)
    key = {"channel_id": receipt.channel_id, "nonce": nonce, "sequence": receipt.sequence}
    yield _RECEIPT, key | {"text": change.text}
    yield _PART, key | {"content": change.content}


def _request_ended(change: RequestEnded) -> Iterable[_Row]:
    key = {"channel_id": change.channel_id, "nonce": _nonce(change.nonce)}
    if change.content:
        yield _PART, key | {"sequence": None, "content": change.content}
    yield _END, key | {"media_type": change.media_type, "ended_at": change.ended_at}


def _request_dropped(change: RequestDropped) -> Iterable[_Row]:
    yield _DROP, {"channel_id": change.channel_id, "nonce": _nonce(change.nonce)}


_WRITERS: Final[Mapping[type[Change], Callable[[Any], Iterable[_Row]]]] = {
    ChannelSaved: _channel_saved,
    VoucherSaved: _voucher_saved,
    RequestStarted: _request_started,
    ReceiptIssued: _receipt_issued,
    RequestEnded: _request_ended,
    RequestDropped: _request_dropped,
}
