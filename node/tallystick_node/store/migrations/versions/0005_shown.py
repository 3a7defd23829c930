"""For which commitments a ballot was shown."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("ballots", sa.Column("shown", sa.String, nullable=True))
