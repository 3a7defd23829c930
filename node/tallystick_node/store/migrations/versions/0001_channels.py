"""Channels, vouchers, requests, receipts and what was sent."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "channels",
        sa.Column("channel_id", sa.LargeBinary, primary_key=True, nullable=False),
        sa.Column("payer", sa.LargeBinary, nullable=False),
        sa.Column("provider", sa.LargeBinary, nullable=False),
        sa.Column("session_key", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("signed_grant", sa.String, nullable=True),
        sa.Column("closed", sa.Boolean, nullable=False),
        sa.Column("refusing", sa.Boolean, nullable=False),
    )
    op.create_table(
        "vouchers",
        sa.Column(
            "channel_id",
            sa.LargeBinary,
            sa.ForeignKey("channels.channel_id"),
            primary_key=True,
            nullable=False,
        ),
        sa.Column("voucher", sa.String, nullable=False),
        sa.Column("receipt_count", sa.Integer, nullable=False),
        sa.Column("amount", sa.String, nullable=False),
        sa.Column("peaks", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "requests",
        sa.Column("channel_id", sa.LargeBinary, primary_key=True, nullable=False),
        sa.Column("nonce", sa.LargeBinary, primary_key=True, nullable=False),
        sa.Column("request_hash", sa.LargeBinary, nullable=False),
        sa.Column("media_type", sa.String, nullable=True),
        sa.Column("ended_at", sa.Integer, nullable=True),
        sa.Column("pruned", sa.Boolean, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "receipts",
        sa.Column("id", sa.Integer, primary_key=True, nullable=False),
        sa.Column("channel_id", sa.LargeBinary, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("nonce", sa.LargeBinary, nullable=False),
        sa.Column("text", sa.String, nullable=False),
        sa.UniqueConstraint("channel_id", "sequence"),
    )
    op.create_table(
        "parts",
        sa.Column("id", sa.Integer, primary_key=True, nullable=False),
        sa.Column("channel_id", sa.LargeBinary, nullable=False),
        sa.Column("nonce", sa.LargeBinary, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_index("parts_by_request", "parts", ["channel_id", "nonce"])
