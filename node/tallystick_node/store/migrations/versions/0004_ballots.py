"""What the provider found as a judge."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "ballots",
        sa.Column("duel", sa.LargeBinary, primary_key=True, nullable=False),
        sa.Column("ballot", sa.String, nullable=False),
        sa.Column("panel", sa.String, nullable=False),
    )
