"""Tables of the demo's energy data API, its cached answers, and which seed filled them."""

import sqlalchemy as sa
from alembic import op

from infra.database.migrations.steps import LONG_TEXT, MOMENT, create_table

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = (
    "price_area",
    "municipality",
    "branche",
    "production",
    "consumption",
    "exchange",
    "request_cache",
    "energy_seed",
)


def upgrade() -> None:
    """Create the eight tables, as they were at this revision."""
    create_table(
        "price_area",
        sa.Column("code", sa.String(8), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
    )
    create_table(
        "municipality",
        sa.Column("code", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("price_area", sa.String(8), nullable=False),
        sa.Column("inhabitants", sa.Integer, nullable=False),
    )
    op.create_index("ix_municipality_price_area", "municipality", ["price_area"])
    create_table(
        "branche",
        sa.Column("code", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(64), nullable=False),
    )
    create_table(
        "production",
        sa.Column("municipality", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("hour", MOMENT, primary_key=True),
        sa.Column("wind_mwh", sa.Double, nullable=False),
        sa.Column("solar_mwh", sa.Double, nullable=False),
        sa.Column("thermal_mwh", sa.Double, nullable=False),
    )
    create_table(
        "consumption",
        sa.Column("municipality", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("hour", MOMENT, primary_key=True),
        sa.Column("branche", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("mwh", sa.Double, nullable=False),
    )
    create_table(
        "exchange",
        sa.Column("price_area", sa.String(8), primary_key=True),
        sa.Column("hour", MOMENT, primary_key=True),
        sa.Column("neighbour", sa.String(8), primary_key=True),
        sa.Column("mwh", sa.Double, nullable=False),
    )
    create_table(
        "request_cache",
        sa.Column("key_sha256", sa.String(64), primary_key=True),
        sa.Column("cache_key", sa.String(2048), nullable=False),
        sa.Column("body", LONG_TEXT, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT),
    )
    op.create_index("ix_request_cache_expires_at", "request_cache", ["expires_at"])
    create_table(
        "energy_seed",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("generator_version", sa.Integer, nullable=False),
        sa.Column("days", sa.Integer, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    for table in TABLES:
        op.drop_table(table)
