"""The explorer's tables of audits: `schema` has them too, with all others."""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, LargeBinary, PrimaryKeyConstraint, String, Table

from tallystick_node.explorer.columns import METADATA, address_, amount, count, hash_, place, when

strikes: Final = Table(
    "strikes",
    METADATA,
    Column("receipt_hash", LargeBinary(32), primary_key=True),
    *(address_(name) for name in ("provider", "auditor", "owner")),
    count("draw_block"),
    hash_("receipts_root"),
    count("receipt_count"),
    hash_("scales_hash"),
    *(count(name) for name in ("check", "verdict")),
    *(amount(name) for name in ("tokens", "evidence", "found_at")),
    hash_("transaction_hash"),
    *place(),
    when("timestamp"),
    hash_("accusation", nullable=True),
    count("outcome"),
    count("lapsed"),
    Index("strikes_place", "block", "log_index"),
    Index("strikes_provider", "provider", "block", "log_index"),
    Index("strikes_auditor", "auditor", "block", "log_index"),
    Index("strikes_transaction", "transaction_hash"),
)
"""One row a `Struck` event, with the auditor's finding. `accusation` is the latest that it was a part of, and
`outcome` what that found of it: one more than the contract's number, zero while there is none. `lapsed` is
the block in which it was dropped without one: with all others, when the provider was slashed, or by a later
strike of its auditor, when it was too old."""

accusations: Final = Table(
    "accusations",
    METADATA,
    Column("accusation", LargeBinary(32), primary_key=True),
    address_("provider"),
    *(Column(name, LargeBinary, nullable=False) for name in ("strikes", "auditors")),
    *(count(name) for name in ("accused_block", "accused_log_index")),
    *(when(name) for name in ("accused_at", "answer_by")),
    address_("answerer", nullable=True),
    amount("fee"),
    *(count(name) for name in ("draw_block", "answered_block")),
    *(when(name) for name in ("answered_at", "reveal_from")),
    *(Column(name, LargeBinary, nullable=False) for name in ("reauditors", "committed", "opinions")),
    count("outcome"),
    Column("outcomes", LargeBinary, nullable=False),
    *(amount(name) for name in ("slashed", "rewarded", "earned", "burnt")),
    count("concluded_block"),
    when("concluded_at"),
    Index("accusations_place", "accused_block", "accused_log_index"),
    Index("accusations_provider", "provider", "accused_block", "accused_log_index"),
    Index("accusations_concluded", "concluded_block"),
    Index("accusations_draw", "draw_block"),
)
"""`strikes` are receipt hashes and `auditors` addresses, in the order of every ballot; `reauditors` are
addresses, in the order of their seats, `committed` a byte of each seat, and `opinions` a byte of each seat
and strike, as the contract numbers them, but 3 where one that speaks says nothing. `outcome` and `outcomes`,
of each strike, are one more than the contract's numbers; these, like any block or time, are zero while there
is none."""

accusation_parties: Final = Table(
    "accusation_parties",
    METADATA,
    hash_("accusation"),
    Column("role", String(10), nullable=False),
    address_("address"),
    Column("block", BigInteger, nullable=False),
    *(count(name) for name in ("accused_block", "accused_log_index")),
    PrimaryKeyConstraint("accusation", "role", "address"),
    Index("accusation_parties_address", "address", "role", "accused_block", "accused_log_index"),
)
"""Who had what part in an accusation, as `auditor` whose strike accuses or `reauditor`: known from `block`
on."""

charges: Final = Table(
    "charges",
    METADATA,
    Column("address", LargeBinary(20), primary_key=True),
    Column("strikes", LargeBinary, nullable=False),
    hash_("accusation", nullable=True),
)
"""Of each provider that was ever struck what strikes may still accuse it, and what it is accused by now. The
writer's own."""

audit_accounts: Final = Table(
    "audit_accounts",
    METADATA,
    Column("address", LargeBinary(20), primary_key=True),
    *(amount(name) for name in ("balance", "posted", "credited", "withdrawn")),
    count("last_block"),
)
"""Whoever ever answered an accusation, or was credited something by one."""

stakes: Final = Table(
    "stakes",
    METADATA,
    *place(),
    address_("provider"),
    *(amount(name) for name in ("staked", "exiting")),
    PrimaryKeyConstraint("block", "log_index", "provider"),
    Index("stakes_provider", "provider", "block", "log_index"),
)
"""What each provider had at stake from that log on: what an accusation costs goes by it."""
