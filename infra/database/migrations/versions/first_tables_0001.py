"""First tables: recorded requests, their sources, registered models and their history."""

import sqlalchemy as sa
from alembic import op

from infra.database.migrations.steps import BIG_ID, LONG_TEXT, MOMENT, create_table

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the four tables, as they were at this revision."""
    create_table(
        "ingested_sources",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("mapping", sa.String(512), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("rejected_rows", sa.BigInteger, nullable=False),
        sa.Column("skipped_rows", sa.BigInteger, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.UniqueConstraint("sha256", "mapping", name="uq_ingested_sources_sha256_mapping"),
    )
    create_table(
        "cache_metrics",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("cache_name", sa.String(255), nullable=False),
        sa.Column("cache_key", sa.String(2048), nullable=False),
        sa.Column("key_hash", sa.BigInteger, nullable=False),
        sa.Column("load_time_ms", sa.Double),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("item_count", sa.BigInteger),
        sa.Column("hit_ratio", sa.Double),
        sa.Column("traffic_intensity", sa.Double),
        sa.Column("policy_triggered", sa.String(64)),
        sa.Column("rl_action_taken", sa.Integer),
        sa.Column("was_hit", sa.Boolean),
        sa.Column("ttl_s", sa.Double),
        sa.Column("origin_version", sa.BigInteger),
        sa.Column("source_id", sa.BigInteger),
    )
    op.create_index("ix_cache_metrics_timestamp_id", "cache_metrics", ["timestamp", "id"])
    op.create_index("ix_cache_metrics_key_hash", "cache_metrics", ["key_hash"])
    op.create_index("ix_cache_metrics_source_id", "cache_metrics", ["source_id"])
    create_table(
        "rl_models",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("registered_name", sa.String(255), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("mlflow_run_id", sa.String(64), nullable=False),
        sa.Column("stage", sa.String(32), nullable=False),
        sa.Column("aliases", sa.JSON),
        sa.Column("algorithm", sa.String(32)),
        sa.Column("decision", sa.String(32)),
        sa.Column("device", sa.String(32)),
        sa.Column("cache_size", sa.BigInteger),
        sa.Column("cache_bytes", sa.BigInteger),
        sa.Column("max_queries", sa.BigInteger),
        sa.Column("table_name", sa.String(255)),
        sa.Column("timesteps", sa.BigInteger),
        sa.Column("feature_columns", sa.JSON),
        sa.Column("cache_weights", sa.JSON),
        sa.Column("db_type", sa.String(64)),
        sa.Column("hyperparameters", sa.JSON),
        sa.Column("network_architecture", sa.JSON),
        sa.Column("reward_history", sa.JSON),
        sa.Column("hit_rate_history", sa.JSON),
        sa.Column("training_duration_seconds", sa.Double),
        sa.Column("input_dimension", sa.Integer),
        sa.Column("metrics", sa.JSON),
        sa.Column("data_fingerprint", sa.String(64)),
        sa.Column("bundle_sha256", sa.String(64)),
        sa.Column("model_base64", LONG_TEXT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("trained_at", MOMENT),
        sa.UniqueConstraint("registered_name", "version", name="uq_rl_models_registered_name_version"),
        sa.UniqueConstraint("mlflow_run_id", name="uq_rl_models_mlflow_run_id"),
    )
    create_table(
        "rl_model_events",
        sa.Column("id", BIG_ID, primary_key=True),
        sa.Column("mlflow_run_id", sa.String(64), nullable=False),
        sa.Column("registered_name", sa.String(255), nullable=False),
        sa.Column("version", sa.Integer),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("from_stage", sa.String(32)),
        sa.Column("to_stage", sa.String(32)),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("actor", sa.String(255)),
        sa.Column("reason", LONG_TEXT),
        sa.Column("evidence", sa.JSON),
    )
    op.create_index("ix_rl_model_events_mlflow_run_id", "rl_model_events", ["mlflow_run_id"])


def downgrade() -> None:
    """Drop them."""
    for table in ("rl_model_events", "rl_models", "cache_metrics", "ingested_sources"):
        op.drop_table(table)
