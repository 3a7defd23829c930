"""The explorer's tables. All but `receipts` and `published` are made from the chain alone, and are made again
by reading it anew; no code but the writer's changes them.

Amounts are decimal text of one width, because 128 bits do not fit SQLite's integers: text of one width sorts
as numbers do. SQL sums no more of them than their digits (queries/sums.py): whoever writes keeps totals.
Hashes, ids and addresses are bytes. Where something is on the chain is (block, log_index), and lists are read
from there downwards, by key.
"""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeDecorator

VERSION: Final = 1
"""Of these tables. A database of another version is filled anew."""
DIGITS: Final = 39
"""Of 2**128 − 1."""
_WIDE_DIGITS: Final = 78
"""Of 2**256 − 1."""


class Amount(TypeDecorator[int]):
    """Atoms or wei: a natural number below 2**128, as text of one width. A wide one is below 2**256: what
    anybody may send the market, which an asset that anybody mints has no other limit for."""

    impl = String
    cache_ok = True

    def __init__(self, *, wide: bool = False):
        self.wide = wide
        super().__init__(_WIDE_DIGITS if wide else DIGITS)

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        assert 0 <= value < 1 << (256 if self.wide else 128), value
        return f"{value:0{_WIDE_DIGITS if self.wide else DIGITS}d}"

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)


METADATA: Final = MetaData()


def _hash(name: str, *, nullable: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary(32), nullable=nullable)


def _address(name: str, *, nullable: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary(20), nullable=nullable)


def _amount(name: str) -> Column[int]:
    return Column(name, Amount(), nullable=False)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _when(name: str, *, nullable: bool = False) -> Column[int]:
    """Unix seconds."""
    return Column(name, BigInteger, nullable=nullable)


def _place() -> Iterable[Column[int]]:
    """Where a log stands."""
    yield Column("block", BigInteger, nullable=False)
    yield Column("log_index", Integer, nullable=False)


progress: Final = Table(
    "progress",
    METADATA,
    Column("id", Integer, primary_key=True),
    _count("version"),
    _count("chain_id"),
    _address("market"),
    Column("block", BigInteger, nullable=False),
    _hash("hash"),
    _when("timestamp"),
    _count("final"),
)
"""One row: how far the chain was read. The newest block read, whether it holds anything of the market or
not. What was read up to block `final` is not taken back, but by reading everything anew."""

blocks: Final = Table(
    "blocks",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _hash("hash"),
    _hash("parent"),
    _when("timestamp"),
    _amount("base_fee"),
    _count("gas_used"),
    _count("transactions"),
    _count("events"),
    _count("transfers"),
    Column("held", Amount(wide=True), nullable=False),
    _amount("owed"),
    Index("blocks_hash", "hash"),
    Index("blocks_timestamp", "timestamp"),
)
"""Those with a transaction to the market, an event of it, or a transfer of the asset to or from it; and the
newest 64, for reorganisations. `transactions` and `events` are the market's, `transfers` the asset's to or
from the market. `held` is what those have left with the market after the block, `owed` what the market's
events have it owe (INV-1). Anybody may send the market more than it owes."""


def _of_failed(name: str, *columns: str) -> Index:
    """An index of the few that failed: the others have no part in it."""
    return Index(name, *columns, sqlite_where=text("succeeded = 0"), postgresql_where=text("NOT succeeded"))


transactions: Final = Table(
    "transactions",
    METADATA,
    Column("block", BigInteger, nullable=False),
    Column("position", Integer, nullable=False),
    _hash("hash"),
    _address("sender"),
    _address("recipient", nullable=True),
    Column("call", String(64), nullable=False),
    Column("input", LargeBinary, nullable=False),
    Column("succeeded", Boolean, nullable=False),
    Column("error", Text, nullable=True),
    _count("gas_used"),
    _amount("gas_price"),
    _amount("cost"),
    _count("events"),
    _when("timestamp"),
    PrimaryKeyConstraint("block", "position"),
    Index("transactions_hash", "hash", unique=True),
    Index("transactions_sender", "sender", "block", "position"),
    _of_failed("transactions_failed", "block", "position"),
    _of_failed("transactions_failed_calls", "call", "block", "position"),
)
"""Those that were sent to the market or that made it log something. `call` is the function's name, empty
where it is none of the market's; `error` why it failed, empty where the node cannot say; `gas_price` and
`cost` are in wei."""

events: Final = Table(
    "events",
    METADATA,
    *_place(),
    Column("position", Integer, nullable=False),
    _hash("transaction_hash"),
    Column("name", String(32), nullable=False),
    Column("arguments", Text, nullable=False),
    _address("payer", nullable=True),
    _address("provider", nullable=True),
    _hash("channel_id", nullable=True),
    _when("timestamp"),
    PrimaryKeyConstraint("block", "log_index"),
    Index("events_name", "name", "block", "log_index"),
    Index("events_payer", "payer", "block", "log_index"),
    Index("events_provider", "provider", "block", "log_index"),
    Index("events_channel", "channel_id", "block", "log_index"),
)
"""Every one. `arguments` is JSON of the contract's own names; numbers are decimal text there, bytes are
hex, a reason is its name. Payer and provider are also known of an event that names only its channel."""

accounts: Final = Table(
    "accounts",
    METADATA,
    Column("address", LargeBinary(20), primary_key=True),
    *(_amount(name) for name in ("free", "exiting", "deposited", "exited", "paid")),
    _when("exits_at"),
    _count("channels"),
    _count("first_block"),
    _count("last_block"),
    Index("accounts_paid", "paid"),
)
"""Payers. `paid`: settled, in all. `exits_at` is zero while nothing is exiting."""

providers: Final = Table(
    "providers",
    METADATA,
    Column("address", LargeBinary(20), primary_key=True),
    *(_amount(name) for name in ("staked", "exiting", "balance", "earned", "withdrawn", "slashed")),
    _when("exits_at"),
    _address("receipt_key", nullable=True),
    Column("minimum_sequence", Amount(), nullable=False),
    *(_count(name) for name in ("offers", "channels", "settlements", "slashes")),
    _count("first_block"),
    _count("last_block"),
    Index("providers_staked", "staked"),
    Index("providers_earned", "earned"),
)
"""Whoever staked, named a receipt key, posted an offer, had a channel opened to it, or earned, be it by
reporting a fraud. `earned` is all that ever came into its balance, `withdrawn` what left it; `slashed` is all
that was taken of its stake."""

receipt_keys: Final = Table(
    "receipt_keys",
    METADATA,
    *_place(),
    _address("provider"),
    _address("receipt_key"),
    _when("timestamp"),
    PrimaryKeyConstraint("block", "log_index"),
    Index("receipt_keys_provider", "provider", "block", "log_index"),
)
"""Every key that a provider ever named: a receipt signed with any of them is its own."""

offers: Final = Table(
    "offers",
    METADATA,
    *_place(),
    _hash("offer_hash"),
    _address("provider"),
    Column("sequence", Amount(), nullable=False),
    Column("endpoint", Text, nullable=False),
    _hash("endpoint_key"),
    Column("model", Text, nullable=False),
    _hash("model_hash"),
    *(_amount(name) for name in ("input_price", "cached_input_price", "output_price", "credit")),
    _count("context_length"),
    Column("valid_until", Amount(), nullable=False),
    _when("timestamp"),
    PrimaryKeyConstraint("block", "log_index"),
    Index("offers_hash", "offer_hash"),
    Index("offers_provider", "provider", "block", "log_index"),
    Index("offers_model", "model", "block", "log_index"),
    Index("offers_newest", "provider", "model", "block", "log_index"),
    Index("offers_valid", "valid_until"),
)
"""Every version, as often as it was posted. Which holds now follows from the others, the provider's minimum
sequence and the clock. Model and endpoint are a stranger's words."""

channels: Final = Table(
    "channels",
    METADATA,
    Column("channel_id", LargeBinary(32), primary_key=True),
    _address("payer"),
    _address("provider"),
    _address("session_key"),
    _count("epoch"),
    *(_amount(name) for name in ("cap", "settled", "returned")),
    _count("settlements"),
    _count("opened_block"),
    _when("opened_at"),
    _when("closes_at"),
    _count("closed_block"),
    _when("closed_at"),
    _count("last_block"),
    Index("channels_payer", "payer", "opened_block"),
    Index("channels_provider", "provider", "opened_block"),
    Index("channels_opened", "opened_block"),
    Index("channels_session_key", "session_key"),
)
"""One row an epoch. `closes_at`, `closed_at` and `closed_block` are zero while they do not apply."""

settlements: Final = Table(
    "settlements",
    METADATA,
    *_place(),
    Column("position", Integer, nullable=False),
    _hash("transaction_hash"),
    _hash("channel_id"),
    _address("payer"),
    _address("provider"),
    *(_amount(name) for name in ("paid", "settled")),
    _hash("acknowledgement_hash"),
    _when("timestamp"),
    PrimaryKeyConstraint("block", "log_index"),
    Index("settlements_channel", "channel_id", "block", "log_index"),
    Index("settlements_payer", "payer", "block", "log_index"),
    Index("settlements_provider", "provider", "block", "log_index"),
    Index("settlements_acknowledgement", "acknowledgement_hash"),
)
"""One row a `Settled` event: `paid` by it, `settled` with it in all."""

frauds: Final = Table(
    "frauds",
    METADATA,
    *_place(),
    _hash("transaction_hash"),
    _address("provider"),
    Column("kind", String(32), nullable=False),
    _address("reporter", nullable=True),
    Column("evidence", Text, nullable=False),
    *(_amount(name) for name in ("reward", "burnt")),
    _when("timestamp"),
    PrimaryKeyConstraint("block", "log_index"),
    Index("frauds_provider", "provider", "block", "log_index"),
)
"""One row a `Slashed` event, with the proof that it follows: `kind` is `overcharge`, `receipt-
equivocation`, `offer-equivocation` or `verdict`; `evidence` the proof's arguments as JSON."""

hours: Final = Table(
    "hours",
    METADATA,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    *(_count(name) for name in ("transactions", "gas_used", "settle_gas", "settlements", "opened", "closed")),
    *(_amount(name) for name in ("fees", "settled", "deposited", "locked", "staked")),
    _count("offers"),
)
"""What charts are drawn from. `hour` is the unix time at which it begins; an hour without anything has no
row. `settle_gas` is what settle transactions took, `fees` wei; `locked` (caps not settled) and `staked` are
what there was at the hour's end, the others what came in it. What a close pays is settled too."""

provider_hours: Final = Table(
    "provider_hours",
    METADATA,
    _address("provider"),
    Column("hour", BigInteger, nullable=False),
    _count("settlements"),
    _amount("paid"),
    PrimaryKeyConstraint("provider", "hour"),
)
"""What settlements and closes paid a provider in the hour that begins at `hour`, and how many settlements
there were; an hour without either has no row."""

undo: Final = Table(
    "undo",
    METADATA,
    Column("block", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("key", LargeBinary(32), nullable=False),
    Column("row", Text, nullable=True),
    PrimaryKeyConstraint("block", "kind", "key"),
)
"""What a block that may be taken back found in a row of the table `kind` before it changed it; nothing where
there was none. The writer's own."""

receipts: Final = Table(
    "receipts",
    METADATA,
    Column("channel_id", LargeBinary(32), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    _hash("struct_hash"),
    _hash("offer_hash"),
    Column("model", Text, nullable=False),
    _address("provider"),
    _address("payer"),
    *(_count(name) for name in ("input_tokens", "cached_input_tokens", "output_tokens", "finish")),
    *(_count(name) for name in ("received_at", "first_token_at", "finished_at")),
    *(_amount(name) for name in ("cost", "cumulative_cost")),
    _hash("acknowledgement_hash"),
    Column("text", Text, nullable=False),
    PrimaryKeyConstraint("channel_id", "sequence"),
    Index("receipts_provider", "provider", "finished_at"),
    Index("receipts_model", "model", "finished_at"),
    Index("receipts_struct", "struct_hash"),
    Index("receipts_cumulative", "channel_id", "cumulative_cost"),
)
"""Receipts that a party published here, each proven to be under the acknowledgement that a settlement paid:
only they say how many requests and tokens the settled atoms bought. Not made from the chain: they outlive a
new reading of it, and count only while `acknowledgement_hash` stands in `settlements`. Times are in
milliseconds."""

published: Final = Table(
    "published",
    METADATA,
    Column("channel_id", LargeBinary(32), primary_key=True),
    _address("provider"),
    *(
        _count(name)
        for name in ("receipts", "requests", "input_tokens", "cached_input_tokens", "output_tokens")
    ),
    _amount("cost"),
    Index("published_provider", "provider"),
)
"""Totals of a channel's rows in `receipts`, changed with them. `requests` are the receipts that end one."""

CHAIN_TABLES: Final = tuple(table for table in METADATA.sorted_tables if table not in (receipts, published))
