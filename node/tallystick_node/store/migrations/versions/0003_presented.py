"""What vouchers acknowledged that were sent to be settled."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "presented",
        sa.Column("channel_id", sa.LargeBinary, primary_key=True, nullable=False),
        sa.Column("receipt_count", sa.Integer, primary_key=True, nullable=False),
        sa.Column("acknowledgement_hash", sa.LargeBinary, primary_key=True, nullable=False),
        sa.Column("acknowledgement", sa.String, nullable=False),
        sqlite_with_rowid=False,
    )
