"""How a purse lies on disk. Atoms are decimal text: SQLite's integers end at 2⁶³, an asset's do not."""

from typing import Literal

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    bindparam,
    case,
    create_engine,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

VERSION = 8
"""Of this layout; in SQLite's `user_version`."""
MIGRATIONS = {
    1: ("ALTER TABLE evidence ADD COLUMN offer VARCHAR", "ALTER TABLE evidence ADD COLUMN other VARCHAR"),
    2: (
        "CREATE TABLE pairs (id INTEGER NOT NULL PRIMARY KEY, state VARCHAR NOT NULL, cost VARCHAR NOT NULL, "
        "sealed BLOB, duel BLOB, asked_at INTEGER NOT NULL)",
    ),
    3: (
        "CREATE TABLE outlays (purpose VARCHAR NOT NULL PRIMARY KEY, spent VARCHAR NOT NULL)",
        "CREATE TABLE audits (id INTEGER NOT NULL PRIMARY KEY, state VARCHAR NOT NULL, "
        "cost VARCHAR NOT NULL, channel_id BLOB NOT NULL, auditor BLOB NOT NULL, receipt BLOB NOT NULL, "
        "finding VARCHAR, sealed BLOB, asked_at INTEGER NOT NULL)",
        "ALTER TABLE pairs ADD COLUMN verdict INTEGER",
    ),
    4: ("ALTER TABLE pairs ADD COLUMN before VARCHAR",),
    5: ("CREATE TABLE misdatings (provider BLOB NOT NULL PRIMARY KEY, seen_at INTEGER NOT NULL)",),
    6: (
        "ALTER TABLE pairs ADD COLUMN holder VARCHAR",
        "ALTER TABLE pairs ADD COLUMN judging VARCHAR",
        "ALTER TABLE pairs ADD COLUMN hearings INTEGER",
        "ALTER TABLE pairs ADD COLUMN heard BLOB",
        "ALTER TABLE requests ADD COLUMN pair INTEGER",
        "CREATE INDEX ix_requests_pair ON requests (pair)",
        "CREATE INDEX ix_pairs_state ON pairs (state)",
        "CREATE INDEX ix_audits_state ON audits (state)",
        "UPDATE audits SET state = 'clear' WHERE state = 'said' AND sealed IS NULL",
    ),
    7: (
        "CREATE TABLE lapses (provider BLOB NOT NULL, reason VARCHAR NOT NULL, seen_at INTEGER NOT NULL, "
        "PRIMARY KEY (provider, reason))",
        # What it is copied from stays: a program of before that still runs reads it with each request.
        "INSERT INTO lapses SELECT provider, 'misdated', seen_at FROM misdatings",
    ),
}
"""From each version to the next."""


class AtomsText(TypeDecorator[int]):
    impl = String
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        return None if value is None else str(int(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)


metadata = MetaData()

spending = Table(
    "spending",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("spent", AtomsText, nullable=False),  # costs of the receipts accepted
    Column("reserved", AtomsText, nullable=False),  # worst cases of the requests that are open
)

channels = Table(
    "channels",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("provider", LargeBinary, nullable=False, index=True),
    Column("session_key", LargeBinary, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("sealed_key", LargeBinary, nullable=False),
    Column("state", String, nullable=False),
    Column("granted", AtomsText, nullable=False),
    Column("grant", String),  # JSON, signed: the newest
    Column("count", Integer, nullable=False),  # the tally: receipts in sequence, from 0
    Column("amount", AtomsText, nullable=False),
    Column("peaks", LargeBinary, nullable=False),
    Column("delivered", Integer, nullable=False),  # receipts that the provider knows are acknowledged
    Column("opened_at", Integer, nullable=False),
)

requests = Table(
    "requests",
    metadata,
    Column("channel_id", LargeBinary, ForeignKey("channels.id"), primary_key=True),
    Column("nonce", Integer, primary_key=True, autoincrement=False),
    Column("request_hash", LargeBinary, nullable=False, index=True),
    Column("offer", String, nullable=False),  # JSON
    Column("receipt_key", LargeBinary, nullable=False),
    Column("path", String, nullable=False),
    Column("model", String, nullable=False),
    Column("sealed_body", LargeBinary),  # until it is settled
    Column("streamed", Boolean, nullable=False),
    Column("worst", AtomsText, nullable=False),
    Column("billed", AtomsText, nullable=False),
    Column("state", String, nullable=False, index=True),  # open, unbilled, done, void, refused
    Column("sent_at", Integer, nullable=False),  # unix milliseconds, ours
    Column("pair", Integer, index=True),  # that it was made for, behind its caller's back
)

receipts = Table(
    "receipts",
    metadata,
    Column("channel_id", LargeBinary, ForeignKey("channels.id"), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("nonce", Integer, nullable=False),
    Column("cost", AtomsText, nullable=False),
    Column("signed", String, nullable=False),  # JSON
    Column("acknowledged", Boolean, nullable=False),  # False: behind a gap
    Column("received_at", Integer, nullable=False),  # unix milliseconds, ours
)

evidence = Table(
    "evidence",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("channel_id", LargeBinary, nullable=False),
    Column("provider", LargeBinary, nullable=False),
    Column("nonce", Integer),
    Column("code", String, nullable=False),
    Column("reason", String, nullable=False),  # JSON: message, required, actual
    Column("signed", String, nullable=False),  # JSON: the receipt that was refused
    Column("offer", String),  # JSON: the one that it names
    Column("other", String),  # JSON: another signed receipt in its place
    Column("refused_at", Integer, nullable=False),
)

lapses = Table(
    "lapses",
    metadata,
    Column("provider", LargeBinary, primary_key=True),
    Column("reason", String, primary_key=True),  # misdated, unauditable
    Column("seen_at", Integer, nullable=False),  # unix milliseconds, ours: the last time
)

pairs = Table(
    "pairs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("state", String, nullable=False, index=True),  # asking, void, held, opened, appealed, over, bare
    Column("cost", AtomsText, nullable=False),  # beside the caller's own request; at most, while it may grow
    Column("sealed", LargeBinary),  # JSON: the request and both answers
    Column("duel", LargeBinary),  # its id, once it is opened
    Column("asked_at", Integer, nullable=False),  # unix milliseconds, ours
    Column("verdict", Integer),  # that counts, once it is over
    Column("before", AtomsText),  # what it came to before its duel was opened
    Column("holder", String),  # the process that is busy with it
    Column("judging", AtomsText),  # of the cost, what its panel may come to, which was not asked yet
    Column("hearings", Integer),  # of that panel, begun
    Column("heard", LargeBinary),  # JSON: what its judges said
)

audits = Table(
    "audits",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("state", String, nullable=False, index=True),  # asking, void, clear, said, filed
    Column("cost", AtomsText, nullable=False),  # at most, while it may grow
    Column("channel_id", LargeBinary, nullable=False),
    Column("auditor", LargeBinary, nullable=False),
    Column("receipt", LargeBinary, nullable=False),  # hash of the last one that was shown
    Column("finding", String),  # JSON, signed
    Column("sealed", LargeBinary),  # JSON: the dossier, where the finding is a strike
    Column("asked_at", Integer, nullable=False),  # unix milliseconds, ours
)

outlays = Table(
    "outlays",
    metadata,
    Column("purpose", String, primary_key=True),  # duels, audits
    Column("spent", AtomsText, nullable=False),  # Σ costs of the rows of that purpose
)


# What every request does, built once: SQLAlchemy takes longer to build a statement than SQLite to run it.
_REQUEST = (requests.c.channel_id == bindparam("of_channel")) & (requests.c.nonce == bindparam("of_nonce"))
READ_SPENDING = select(spending.c.spent, spending.c.reserved)
WRITE_SPENDING = update(spending).values(spent=bindparam("now_spent"), reserved=bindparam("now_reserved"))
ADD_REQUEST = insert(requests)
READ_REQUEST = select(requests.c.billed, requests.c.worst, requests.c.state).where(_REQUEST)
BILL_REQUEST = update(requests).where(_REQUEST).values(billed=bindparam("now_billed"))
LIMIT_REQUEST = update(requests).where(_REQUEST).values(worst=bindparam("now_worst"))
END_REQUEST = (
    update(requests)
    .where(_REQUEST)
    .values(
        billed=bindparam("now_billed"),
        state=bindparam("now_state"),
        sealed_body=case((bindparam("keep_body", type_=Boolean), requests.c.sealed_body), else_=None),
    )
)
ADD_RECEIPT = insert(receipts)
ACKNOWLEDGE_RECEIPTS = (
    update(receipts)
    .where(
        receipts.c.channel_id == bindparam("of_channel"),
        receipts.c.sequence >= bindparam("from_sequence"),
        receipts.c.sequence < bindparam("to_sequence"),
    )
    .values(acknowledged=True)
)
WRITE_TALLY = (
    update(channels)
    .where(channels.c.id == bindparam("of_channel"))
    .values(count=bindparam("now_count"), amount=bindparam("now_amount"), peaks=bindparam("now_peaks"))
)


Durability = Literal["process", "power"]
"""What a commit survives: the end of the process at any moment, or the loss of power too (an fsync each)."""


def open_database(path: str, durability: Durability = "process") -> Engine:
    """WAL; every transaction is `BEGIN IMMEDIATE`, so that what it reads is what it changes, but for those
    that only read."""
    level = "FULL" if durability == "power" else "NORMAL"
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # sqlite3's own; transactions begin below
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", f"synchronous={level}", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _(connection) -> None:  # type: ignore[no-untyped-def]  # SQLAlchemy types the listener
        reads = connection.get_execution_options().get("reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine
