"""The explorer's tables. All but `receipts` and `published` are made from the chain alone, and are made again
by reading it anew; no code but the writer's changes them.

Amounts are decimal text of one width, because 128 bits do not fit SQLite's integers: text of one width sorts
as numbers do. SQL sums no more of them than their digits (queries/sums.py): whoever writes keeps totals.
Hashes, ids and addresses are bytes. Where something is on the chain is (block, log_index), and lists are read
from there downwards, by key.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

from tallystick_node.explorer.audit_tables import accusation_parties as accusation_parties
from tallystick_node.explorer.audit_tables import accusations as accusations
from tallystick_node.explorer.audit_tables import audit_accounts as audit_accounts
from tallystick_node.explorer.audit_tables import charges as charges
from tallystick_node.explorer.audit_tables import stakes as stakes
from tallystick_node.explorer.audit_tables import strikes as strikes
from tallystick_node.explorer.columns import METADATA as METADATA
from tallystick_node.explorer.columns import Amount, address_, amount, count, hash_, place, when
from tallystick_node.explorer.duel_tables import draws as draws
from tallystick_node.explorer.duel_tables import duel_accounts as duel_accounts
from tallystick_node.explorer.duel_tables import duel_parties as duel_parties
from tallystick_node.explorer.duel_tables import duels as duels
from tallystick_node.explorer.duel_tables import judges as judges
from tallystick_node.explorer.duel_tables import weights as weights

VERSION: Final = 4
"""Of these tables. A database of another version is filled anew."""

progress: Final = Table(
    "progress",
    METADATA,
    Column("id", Integer, primary_key=True),
    count("version"),
    count("chain_id"),
    address_("market"),
    Column("block", BigInteger, nullable=False),
    hash_("hash"),
    when("timestamp"),
    count("final"),
)
"""One row: how far the chain was read. The newest block read, whether it holds anything of the market or
not. What was read up to block `final` is not taken back, but by reading everything anew."""

blocks: Final = Table(
    "blocks",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    hash_("hash"),
    hash_("parent"),
    when("timestamp"),
    amount("base_fee"),
    count("gas_used"),
    count("transactions"),
    count("events"),
    count("transfers"),
    Column("held", Amount(wide=True), nullable=False),
    amount("owed"),
    Column("duels_held", Amount(wide=True), nullable=False),
    amount("duels_owed"),
    Column("audits_held", Amount(wide=True), nullable=False),
    amount("audits_owed"),
    Index("blocks_hash", "hash"),
    Index("blocks_timestamp", "timestamp"),
)
"""Those with a transaction to the market, an event of it, or a transfer of the asset to or from it; and the
newest 64, for reorganisations. `transactions` and `events` are the market's, `transfers` the asset's to or
from the market, its duels or its audits. `held` is what those have left with the market after the block,
`owed` what the market's events have it owe (INV-1). Anybody may send the market more than it owes.
`duels_held` and `duels_owed` are the same of the duels' contract: fees that wait, and balances (INV-11);
`audits_held` and `audits_owed` of the audits'."""


def _of_failed(name: str, *columns: str) -> Index:
    """An index of the few that failed: the others have no part in it."""
    return Index(name, *columns, sqlite_where=text("succeeded = 0"), postgresql_where=text("NOT succeeded"))


transactions: Final = Table(
    "transactions",
    METADATA,
    Column("block", BigInteger, nullable=False),
    Column("position", Integer, nullable=False),
    hash_("hash"),
    address_("sender"),
    address_("recipient", nullable=True),
    Column("call", String(64), nullable=False),
    Column("input", LargeBinary, nullable=False),
    Column("succeeded", Boolean, nullable=False),
    Column("error", Text, nullable=True),
    count("gas_used"),
    amount("gas_price"),
    amount("cost"),
    count("events"),
    when("timestamp"),
    PrimaryKeyConstraint("block", "position"),
    Index("transactions_hash", "hash", unique=True),
    Index("transactions_sender", "sender", "block", "position"),
    _of_failed("transactions_failed", "block", "position"),
    _of_failed("transactions_failed_calls", "call", "block", "position"),
)
"""Those that were sent to the market or the duels, or that made one log something. `call` is the function's
name, the duels' as `Duels.decide`, empty where it is none of theirs; `error` why it failed, empty where the
node cannot say; `gas_price` and `cost` are in wei."""

events: Final = Table(
    "events",
    METADATA,
    *place(),
    Column("position", Integer, nullable=False),
    hash_("transaction_hash"),
    Column("name", String(32), nullable=False),
    Column("arguments", Text, nullable=False),
    address_("payer", nullable=True),
    address_("provider", nullable=True),
    hash_("channel_id", nullable=True),
    hash_("duel", nullable=True),
    hash_("accusation", nullable=True),
    when("timestamp"),
    PrimaryKeyConstraint("block", "log_index"),
    Index("events_name", "name", "block", "log_index"),
    Index("events_payer", "payer", "block", "log_index"),
    Index("events_provider", "provider", "block", "log_index"),
    Index("events_channel", "channel_id", "block", "log_index"),
    Index("events_duel", "duel", "block", "log_index"),
    Index("events_accusation", "accusation", "block", "log_index"),
)
"""Every one, the duels' named as `Duels.Opened`. Of an appeal, `duel` is what it appeals; of money that
moved in the market, the duel that moved it, and `accusation` likewise. `arguments` is JSON of the contract's
own names; numbers are decimal text there, bytes are hex, a reason is its name. Payer and provider are also
known of an event that names only its channel."""

accounts: Final = Table(
    "accounts",
    METADATA,
    Column("address", LargeBinary(20), primary_key=True),
    *(amount(name) for name in ("free", "exiting", "deposited", "exited", "paid")),
    when("exits_at"),
    count("channels"),
    count("first_block"),
    count("last_block"),
    Index("accounts_paid", "paid"),
)
"""Payers. `paid`: settled, in all. `exits_at` is zero while nothing is exiting."""

providers: Final = Table(
    "providers",
    METADATA,
    Column("address", LargeBinary(20), primary_key=True),
    *(amount(name) for name in ("staked", "exiting", "balance", "earned", "withdrawn", "slashed")),
    when("exits_at"),
    address_("receipt_key", nullable=True),
    Column("minimum_sequence", Amount(), nullable=False),
    *(count(name) for name in ("offers", "channels", "settlements", "slashes")),
    *(count(name) for name in ("duels_won", "duels_lost", "duels_tied")),
    *(amount(name) for name in ("prizes_won", "prizes_lost", "penalties")),
    count("first_block"),
    count("last_block"),
    Index("providers_staked", "staked"),
    Index("providers_earned", "earned"),
)
"""Whoever staked, named a receipt key, posted an offer, had a channel opened to it, or earned, be it by
reporting a fraud. `earned` is all that ever came into its balance, `withdrawn` what left it; `slashed` is
what frauds and verdicts took of its stake, `prizes_lost` what duels did, and `penalties` what it lost as a
judge."""

receipt_keys: Final = Table(
    "receipt_keys",
    METADATA,
    *place(),
    address_("provider"),
    address_("receipt_key"),
    when("timestamp"),
    PrimaryKeyConstraint("block", "log_index"),
    Index("receipt_keys_provider", "provider", "block", "log_index"),
)
"""Every key that a provider ever named: a receipt signed with any of them is its own."""

offers: Final = Table(
    "offers",
    METADATA,
    *place(),
    hash_("offer_hash"),
    address_("provider"),
    Column("sequence", Amount(), nullable=False),
    Column("endpoint", Text, nullable=False),
    hash_("endpoint_key"),
    Column("model", Text, nullable=False),
    hash_("model_hash"),
    *(amount(name) for name in ("input_price", "cached_input_price", "output_price", "credit")),
    count("context_length"),
    Column("valid_until", Amount(), nullable=False),
    when("timestamp"),
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
    address_("payer"),
    address_("provider"),
    address_("session_key"),
    count("epoch"),
    *(amount(name) for name in ("cap", "settled", "returned")),
    count("settlements"),
    count("opened_block"),
    when("opened_at"),
    when("closes_at"),
    count("closed_block"),
    when("closed_at"),
    count("last_block"),
    Index("channels_payer", "payer", "opened_block"),
    Index("channels_provider", "provider", "opened_block"),
    Index("channels_opened", "opened_block"),
    Index("channels_session_key", "session_key"),
)
"""One row an epoch. `closes_at`, `closed_at` and `closed_block` are zero while they do not apply."""

settlements: Final = Table(
    "settlements",
    METADATA,
    *place(),
    Column("position", Integer, nullable=False),
    hash_("transaction_hash"),
    hash_("channel_id"),
    address_("payer"),
    address_("provider"),
    *(amount(name) for name in ("paid", "settled")),
    hash_("acknowledgement_hash"),
    when("timestamp"),
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
    *place(),
    hash_("transaction_hash"),
    address_("provider"),
    Column("kind", String(32), nullable=False),
    address_("reporter", nullable=True),
    Column("evidence", Text, nullable=False),
    *(amount(name) for name in ("reward", "burnt")),
    when("timestamp"),
    PrimaryKeyConstraint("block", "log_index"),
    Index("frauds_provider", "provider", "block", "log_index"),
)
"""One row a `Slashed` event, with the proof that it follows: `kind` is `overcharge`, `receipt-
equivocation`, `offer-equivocation` or `verdict`; `evidence` the proof's arguments as JSON. What an accusation
takes is one row of the kind `strikes`, whose `evidence` names the accusation."""

hours: Final = Table(
    "hours",
    METADATA,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    *(count(name) for name in ("transactions", "gas_used", "settle_gas", "settlements", "opened", "closed")),
    *(amount(name) for name in ("fees", "settled", "deposited", "locked", "staked")),
    count("offers"),
)
"""What charts are drawn from. `hour` is the unix time at which it begins; an hour without anything has no
row. `settle_gas` is what settle transactions took, `fees` wei; `locked` (caps not settled) and `staked` are
what there was at the hour's end, the others what came in it. What a close pays is settled too."""

provider_hours: Final = Table(
    "provider_hours",
    METADATA,
    address_("provider"),
    Column("hour", BigInteger, nullable=False),
    count("settlements"),
    amount("paid"),
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
    hash_("struct_hash"),
    hash_("offer_hash"),
    Column("model", Text, nullable=False),
    address_("provider"),
    address_("payer"),
    *(count(name) for name in ("input_tokens", "cached_input_tokens", "output_tokens", "finish")),
    *(count(name) for name in ("received_at", "first_token_at", "finished_at")),
    *(amount(name) for name in ("cost", "cumulative_cost")),
    hash_("acknowledgement_hash"),
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
    address_("provider"),
    *(
        count(name)
        for name in ("receipts", "requests", "input_tokens", "cached_input_tokens", "output_tokens")
    ),
    amount("cost"),
    Index("published_provider", "provider"),
)
"""Totals of a channel's rows in `receipts`, changed with them. `requests` are the receipts that end one."""

CHAIN_TABLES: Final = tuple(table for table in METADATA.sorted_tables if table not in (receipts, published))
