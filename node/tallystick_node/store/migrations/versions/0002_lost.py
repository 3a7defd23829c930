"""Channels of which something may be forgotten, and when the database was made."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("channels", sa.Column("lost", sa.Boolean, nullable=False, server_default=sa.text("0")))
    op.create_table(
        "birth",
        sa.Column("id", sa.Integer, primary_key=True, nullable=False),
        sa.Column("block", sa.Integer, nullable=False),
    )
    # What is migrated was made by a node that never forgot: all that it knows of is older than it.
    op.execute("INSERT INTO birth (id, block) SELECT 1, 0 WHERE EXISTS (SELECT 1 FROM channels)")
