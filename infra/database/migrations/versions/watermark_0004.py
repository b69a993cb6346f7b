"""Up to where the rows were read that a model was trained on, and whether it is to be judged by itself."""

import sqlalchemy as sa
from alembic import op

from infra.database.migrations.steps import add_column

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; of the models that are there both are unknown."""
    add_column("rl_models", sa.Column("data_watermark", sa.String(64)))
    add_column("rl_models", sa.Column("challenger", sa.Boolean))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("rl_models", "challenger")
    op.drop_column("rl_models", "data_watermark")
