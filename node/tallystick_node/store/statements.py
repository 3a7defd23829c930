"""Every statement of the store on SQLite, and how changes become rows. It opens no database."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson
from sqlalchemy import Insert, Table
from sqlalchemy.dialects.sqlite import dialect, insert

from tallystick.protocol.units import Hash32, to_hex
from tallystick.protocol.wire import signed_to_json
from tallystick_node.store.models import ChannelRow, RequestRow, VoucherRow
from tallystick_node.store.records import (
    BallotCast,
    BallotShown,
    Born,
    Change,
    ChannelSaved,
    Presented,
    ReceiptIssued,
    ReceiptRestored,
    RequestDropped,
    RequestEnded,
    RequestStarted,
    VoucherSaved,
)

_DIALECT: Final = dialect(paramstyle="named")


def nonce_bytes(nonce: int) -> bytes:
    return nonce.to_bytes(8, "big")


def peaks_of(joined: bytes) -> tuple[Hash32, ...]:
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
_PRESENT: Final = (
    "INSERT OR IGNORE INTO presented (channel_id, receipt_count, acknowledgement_hash, acknowledgement) "
    "VALUES (:channel_id, :receipt_count, :acknowledgement_hash, :acknowledgement)"
)
PRESENTED: Final = (
    "SELECT acknowledgement FROM presented WHERE channel_id = :channel_id AND receipt_count > :above "
    "AND receipt_count <= :most ORDER BY receipt_count"
)
_CAST: Final = "INSERT OR IGNORE INTO ballots (duel, ballot, panel) VALUES (:duel, :ballot, :panel)"
_SHOWN: Final = "UPDATE ballots SET shown = :shown WHERE duel = :duel AND shown IS NULL"
BALLOT: Final = "SELECT ballot, panel, shown FROM ballots WHERE duel = :duel"
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
DROP_UNBILLED: Final = (
    f"DELETE FROM requests WHERE ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM parts WHERE {_OF_REQUEST})"
)
END_STREAM: Final = (
    "INSERT INTO parts (channel_id, nonce, sequence, content) "
    "SELECT channel_id, nonce, NULL, :content FROM requests WHERE ended_at IS NULL"
)
END_CUT_OFF: Final = (
    "UPDATE requests SET media_type = :media_type, ended_at = unixepoch() * 1000 WHERE ended_at IS NULL"
)
CHANNELS: Final = (
    "SELECT c.channel_id, payer, provider, session_key, epoch, signed_grant, closed, refusing, lost, "
    "voucher, receipt_count, amount, peaks "
    "FROM channels c LEFT JOIN vouchers USING (channel_id) ORDER BY c.rowid"
)
REQUEST: Final = (
    "SELECT request_hash, media_type, pruned FROM requests "
    "WHERE channel_id = :channel_id AND nonce = :nonce AND ended_at IS NOT NULL"
)
PARTS: Final = "SELECT content FROM parts WHERE channel_id = :channel_id AND nonce = :nonce ORDER BY id"
LAST_RECEIPT: Final = (
    "SELECT text FROM receipts WHERE channel_id = :channel_id AND sequence = "
    "(SELECT max(sequence) FROM parts WHERE channel_id = :channel_id AND nonce = :nonce)"
)
RECEIPTS: Final = (
    "SELECT text FROM receipts WHERE channel_id = :channel_id AND sequence >= :start "
    "ORDER BY sequence LIMIT :limit"
)
PRUNABLE: Final = (
    "SELECT channel_id, nonce FROM requests WHERE ended_at < :before AND NOT pruned AND ("
    "EXISTS (SELECT 1 FROM channels c WHERE c.channel_id = requests.channel_id AND c.closed) OR NOT EXISTS "
    f"(SELECT 1 FROM parts WHERE {_OF_REQUEST} AND parts.sequence >= coalesce("
    "(SELECT receipt_count FROM vouchers v WHERE v.channel_id = requests.channel_id), 0))) "
    "ORDER BY ended_at LIMIT :limit"
)
PRUNED_AT_ONCE: Final = 200
MARK_PRUNED: Final = "UPDATE requests SET pruned = 1 WHERE channel_id = :channel_id AND nonce = :nonce"
DELETE_PARTS: Final = "DELETE FROM parts WHERE channel_id = :channel_id AND nonce = :nonce"

ANSWER_BYTES: Final = "SELECT coalesce(sum(length(content)), 0) FROM parts"
BIRTH: Final = "SELECT block FROM birth"
_BORN: Final = "INSERT OR REPLACE INTO birth (id, block) VALUES (1, :block)"
FORGET: Final = "INSERT OR REPLACE INTO birth (id, block) VALUES (1, -1)"
EMPTY: Final = "SELECT NOT EXISTS (SELECT 1 FROM channels) AND NOT EXISTS (SELECT 1 FROM birth)"
LOSE_ALL: Final = "UPDATE channels SET lost = 1 WHERE NOT closed"

_Row = tuple[str, Mapping[str, Any]]


def rows_of(change: Change) -> Iterable[_Row]:
    return _WRITERS[type(change)](change)


def _born(change: Born) -> Iterable[_Row]:
    yield _BORN, {"block": change.block}


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
            "lost": change.lost,
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


def _presented(change: Presented) -> Iterable[_Row]:
    acknowledgement = change.acknowledgement
    yield (
        _PRESENT,
        {
            "channel_id": change.channel_id,
            "receipt_count": acknowledgement.receipt_count,
            "acknowledgement_hash": acknowledgement.struct_hash(),
            "acknowledgement": orjson.dumps(acknowledgement.to_json()).decode(),
        },
    )


def _request_started(change: RequestStarted) -> Iterable[_Row]:
    yield (
        _START,
        {
            "channel_id": change.channel_id,
            "nonce": nonce_bytes(change.nonce),
            "request_hash": change.request_hash,
            "media_type": None,
            "ended_at": None,
            "pruned": False,
        },
    )


def _receipt_issued(change: ReceiptIssued) -> Iterable[_Row]:
    receipt, nonce = change.receipt.message, nonce_bytes(change.nonce)
    key = {"channel_id": receipt.channel_id, "nonce": nonce, "sequence": receipt.sequence}
    yield _RECEIPT, key | {"text": change.text}
    yield _PART, key | {"content": change.content}


def _receipt_restored(change: ReceiptRestored) -> Iterable[_Row]:
    receipt = change.receipt
    key = {"channel_id": receipt.channel_id, "nonce": nonce_bytes(0), "sequence": receipt.sequence}
    yield _RECEIPT, key | {"text": change.text}


def _request_ended(change: RequestEnded) -> Iterable[_Row]:
    key = {"channel_id": change.channel_id, "nonce": nonce_bytes(change.nonce)}
    if change.content:
        yield _PART, key | {"sequence": None, "content": change.content}
    yield _END, key | {"media_type": change.media_type, "ended_at": change.ended_at}


def _request_dropped(change: RequestDropped) -> Iterable[_Row]:
    yield _DROP, {"channel_id": change.channel_id, "nonce": nonce_bytes(change.nonce)}


def _ballot_cast(change: BallotCast) -> Iterable[_Row]:
    yield (
        _CAST,
        {
            "duel": change.ballot.duel,
            "ballot": orjson.dumps(change.ballot.to_json()).decode(),
            "panel": orjson.dumps([to_hex(judge) for judge in change.panel]).decode(),
        },
    )


def _ballot_shown(change: BallotShown) -> Iterable[_Row]:
    shown = orjson.dumps([signed_to_json(signed) for signed in change.commitments]).decode()
    yield _SHOWN, {"duel": change.duel, "shown": shown}


_WRITERS: Final[Mapping[type[Change], Callable[[Any], Iterable[_Row]]]] = {
    Born: _born,
    ChannelSaved: _channel_saved,
    VoucherSaved: _voucher_saved,
    Presented: _presented,
    RequestStarted: _request_started,
    ReceiptIssued: _receipt_issued,
    ReceiptRestored: _receipt_restored,
    RequestEnded: _request_ended,
    RequestDropped: _request_dropped,
    BallotCast: _ballot_cast,
    BallotShown: _ballot_shown,
}
