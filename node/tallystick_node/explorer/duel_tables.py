"""The explorer's tables of duels: `schema` has them too, with all others."""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, LargeBinary, PrimaryKeyConstraint, String, Table

from tallystick_node.explorer.columns import METADATA, address_, amount, count, hash_, place, when

duels: Final = Table(
    "duels",
    METADATA,
    Column("duel", LargeBinary(32), primary_key=True),
    hash_("root"),
    address_("challenger"),
    amount("fee"),
    *(count(name) for name in ("seats", "draw_block")),
    when("decide_by"),
    *(count(name) for name in ("opened_block", "opened_log_index")),
    when("opened_at"),
    hash_("seed", nullable=True),
    when("reveal_from"),
    hash_("first_receipt", nullable=True),
    hash_("second_receipt", nullable=True),
    address_("first", nullable=True),
    address_("second", nullable=True),
    amount("price"),
    count("known"),
    Column("judges", LargeBinary, nullable=False),
    Column("choices", LargeBinary, nullable=False),
    count("verdict"),
    count("decided_block"),
    *(when(name) for name in ("decided_at", "appeal_by")),
    count("appealed"),
    count("final_verdict"),
    *(amount(name) for name in ("prize", "to_winner", "burnt")),
    count("ended_block"),
    when("ended_at"),
    Index("duels_opened", "opened_block", "opened_log_index"),
    Index("duels_root", "root"),
    Index("duels_ended", "ended_block"),
    Index("duels_draw", "draw_block"),
)
"""One row a panel: a duel, and the appeal of one, whose `root` is the duel that it appeals. Who duels is
known once it is decided. `judges` are addresses and `choices` bytes, in the order of the seats; numbers are
the contract's choices, and zero, like any block or time, while there is none. One that ended without a
final verdict lapsed."""

duel_parties: Final = Table(
    "duel_parties",
    METADATA,
    hash_("duel"),
    Column("role", String(10), nullable=False),
    address_("address"),
    Column("block", BigInteger, nullable=False),
    *(count(name) for name in ("opened_block", "opened_log_index")),
    PrimaryKeyConstraint("duel", "role", "address"),
    Index("duel_parties_address", "address", "role", "opened_block", "opened_log_index"),
)
"""Who had what part in a duel or its appeal, as a `challenger`, `appellant`, `duellist` or `judge`: known
from `block` on."""

draws: Final = Table(
    "draws",
    METADATA,
    Column("block", BigInteger, primary_key=True, autoincrement=False),
    hash_("hash"),
)
"""Blocks whose hashes draw judges."""

judges: Final = Table(
    "judges",
    METADATA,
    Column("address", LargeBinary(20), primary_key=True),
    address_("owner"),
    count("slot"),
    count("enlisted_block"),
    amount("weight"),
    *(count(name) for name in ("seats", "agreed", "silent", "declined")),
    *(amount(name) for name in ("earned", "penalties")),
    count("last_block"),
    Index("judges_slot", "slot"),
    Index("judges_weight", "weight"),
)
"""Providers that ever enlisted. `agreed`: its choice was that of its panel."""

weights: Final = Table(
    "weights",
    METADATA,
    *place(),
    address_("judge"),
    amount("weight"),
    PrimaryKeyConstraint("block", "log_index"),
    Index("weights_judge", "judge", "block", "log_index"),
)
"""Atoms that draws go by from the end of that block on."""

duel_accounts: Final = Table(
    "duel_accounts",
    METADATA,
    Column("address", LargeBinary(20), primary_key=True),
    *(amount(name) for name in ("balance", "posted", "credited", "withdrawn")),
    count("last_block"),
)
"""Whoever ever posted a fee of a duel, or was credited something by one."""
