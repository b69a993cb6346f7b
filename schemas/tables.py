"""The SQL tables (SQLAlchemy Core): recorded requests, where they came from, and the mirror of the model registry.

Every moment is UTC. `cache_metrics.timestamp` counts microseconds since 1970; the other moments are `UtcDateTime`.
Users may add columns of their own to `cache_metrics`; code that needs those reflects the table.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator

from schemas.options.train import REQUESTS_TABLE

MAX_CACHE_NAME_CHARS = 255
MAX_CACHE_KEY_CHARS = 2048
MAX_MAPPING_CHARS = 512  # an index of MySQL takes 3072 bytes, and a character up to 4

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

metadata = sa.MetaData()
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite numbers rows only in an INTEGER key


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC: takes aware datetimes only, stores them without zone, returns them aware."""

    impl = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return `value` as the naive UTC datetime to store; ValueError when it has no zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a datetime with a zone is needed, got {value!r}")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        """Return the stored moment with its zone, UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


def utc_now() -> datetime:
    """Return the present moment, in UTC."""
    return datetime.now(UTC)


def aware(moment: datetime) -> datetime:
    """Return a moment with its zone; without one it is UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """Return microseconds since 1970 UTC; a moment without a zone is UTC."""
    return (aware(moment) - EPOCH) // timedelta(microseconds=1)


def key_hash(cache_key: str) -> int:
    """Return the 64-bit hash that finds a cache key: first 8 bytes, big endian, signed, of SHA-256 of its UTF-8."""
    return int.from_bytes(hashlib.sha256(cache_key.encode()).digest()[:8], "big", signed=True)


ingested_sources = sa.Table(
    "ingested_sources",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False, doc="of the file, or of the recipe of simulated traffic"),
    sa.Column("mapping", sa.String(MAX_MAPPING_CHARS), nullable=False, doc="the column mapping, as canonical JSON"),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False, doc="parquet, csv, access_log or simulated"),
    sa.Column("rows", sa.BigInteger, nullable=False, doc="requests recorded"),
    sa.Column("rejected_rows", sa.BigInteger, nullable=False, doc="broken lines, left out"),
    sa.Column("skipped_rows", sa.BigInteger, nullable=False, doc="requests that no cache may answer, left out"),
    sa.Column("created_at", UtcDateTime, nullable=False, default=utc_now),
    sa.UniqueConstraint("sha256", "mapping", name="uq_ingested_sources_sha256_mapping"),
)

cache_metrics = sa.Table(
    REQUESTS_TABLE,
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    sa.Column("timestamp", sa.BigInteger, nullable=False, doc="microseconds since 1970-01-01 UTC"),
    sa.Column("cache_name", sa.String(MAX_CACHE_NAME_CHARS), nullable=False, doc="endpoint or table"),
    sa.Column("cache_key", sa.String(MAX_CACHE_KEY_CHARS), nullable=False, doc="normalised request"),
    sa.Column("key_hash", sa.BigInteger, nullable=False, doc="see key_hash()"),
    sa.Column("load_time_ms", sa.Double, doc="what a miss costs, >= 0"),
    sa.Column("size_bytes", sa.BigInteger, doc="of the answer, >= 1"),
    sa.Column("item_count", sa.BigInteger, doc="objects in the cache, >= 0"),
    sa.Column("hit_ratio", sa.Double, doc="of the cache at that moment, in [0, 1]"),
    sa.Column("traffic_intensity", sa.Double, doc="requests a second, >= 0"),
    sa.Column("policy_triggered", sa.String(64), doc="name of the policy that decided"),
    sa.Column("rl_action_taken", sa.Integer, doc="action number of a learned policy"),
    sa.Column("was_hit", sa.Boolean),
    sa.Column("ttl_s", sa.Double, doc="time to live given, seconds, >= 0"),
    sa.Column("origin_version", sa.BigInteger, doc="changes when the content changes"),
    sa.Column("source_id", sa.BigInteger, doc="ingested_sources.id; null: written by a service"),
    sa.Index("ix_cache_metrics_timestamp_id", "timestamp", "id"),
    sa.Index("ix_cache_metrics_key_hash", "key_hash"),
    sa.Index("ix_cache_metrics_source_id", "source_id"),
)

cache_metrics_quarantine = sa.Table(
    "cache_metrics_quarantine",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    sa.Column("table_name", sa.String(255), nullable=False),
    sa.Column("row_id", sa.BigInteger, nullable=False, doc="id in that table, which keeps the row"),
    sa.Column("reason", sa.String(255), nullable=False, doc="the expectation that the row breaks"),
    sa.Column("level", sa.String(16), nullable=False, doc="of the expectation: error"),
    sa.Column("row_values", sa.JSON, nullable=False, doc="the row as it was read; what JSON lacks, as text"),
    sa.Column("run_id", sa.String(64), doc="of the Prefect flow run that found it first"),
    sa.Column("quarantined_at", UtcDateTime, nullable=False, default=utc_now),
    sa.UniqueConstraint("table_name", "row_id", "reason", name="uq_cache_metrics_quarantine_row_reason"),
)

rl_models = sa.Table(
    "rl_models",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    sa.Column("registered_name", sa.String(255), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("mlflow_run_id", sa.String(64), nullable=False),
    sa.Column("stage", sa.String(32), nullable=False, default="None"),
    sa.Column("aliases", sa.JSON),
    sa.Column("algorithm", sa.String(32)),
    sa.Column("decision", sa.String(32)),
    sa.Column("device", sa.String(32)),
    sa.Column("cache_size", sa.BigInteger, doc="objects"),
    sa.Column("cache_bytes", sa.BigInteger),
    sa.Column("max_queries", sa.BigInteger, doc="rows read; null: all"),
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
    sa.Column("data_profile", sa.JSON, doc="distributions of the training requests, see schemas.bundle"),
    sa.Column("data_watermark", sa.String(64), doc="up to where rows were read, TIMESTAMP_US:ID; null: unknown"),
    sa.Column("challenger", sa.Boolean, doc="whether retrain is to judge it"),
    sa.Column("bundle_sha256", sa.String(64)),
    sa.Column("model_base64", LONG_TEXT, doc="the TorchScript file"),
    sa.Column("created_at", UtcDateTime, nullable=False, default=utc_now),
    sa.Column("trained_at", UtcDateTime),
    sa.UniqueConstraint("registered_name", "version", name="uq_rl_models_registered_name_version"),
    sa.UniqueConstraint("mlflow_run_id", name="uq_rl_models_mlflow_run_id"),
)

rl_model_events = sa.Table(
    "rl_model_events",
    metadata,
    sa.Column("id", BIG_ID, primary_key=True),
    sa.Column("mlflow_run_id", sa.String(64), nullable=False),
    sa.Column("registered_name", sa.String(255), nullable=False),
    sa.Column("version", sa.Integer, doc="null until known"),
    sa.Column("event", sa.String(32), nullable=False, doc="intended, registered, abandoned, ..."),
    sa.Column("from_stage", sa.String(32)),
    sa.Column("to_stage", sa.String(32)),
    sa.Column("created_at", UtcDateTime, nullable=False, default=utc_now),
    sa.Column("actor", sa.String(255)),
    sa.Column("reason", LONG_TEXT),
    sa.Column("evidence", sa.JSON),
    sa.Index("ix_rl_model_events_mlflow_run_id", "mlflow_run_id"),
)
