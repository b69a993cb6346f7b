"""Rows that validation left out, and the distributions that a model was trained on."""

import sqlalchemy as sa
from alembic import op

from infra.database.migrations.steps import BIG_ID, MOMENT, add_column, create_table

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and the column, as they were at this revision."""
    create_table(
        "cache_metrics_quarantine",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("table_name", sa.String(255), nullable=False),
        sa.Column("row_id", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String(255), nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("row_values", sa.JSON, nullable=False),
        sa.Column("run_id", sa.String(64)),
        sa.Column("quarantined_at", MOMENT, nullable=False),
        sa.UniqueConstraint("table_name", "row_id", "reason", name="uq_cache_metrics_quarantine_row_reason"),
    )
    add_column("rl_models", sa.Column("data_profile", sa.JSON))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("rl_models", "data_profile")
    op.drop_table("cache_metrics_quarantine")
