"""What the tables promise to those who write and read them."""

import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from schemas.tables import cache_metrics, key_hash, metadata, rl_models, utc_now

COLUMNS_OF_CACHE_METRICS = """id timestamp cache_name cache_key key_hash load_time_ms size_bytes item_count hit_ratio
    traffic_intensity policy_triggered rl_action_taken was_hit ttl_s origin_version source_id"""


def test_cache_metrics_has_the_columns_that_services_write():
    assert [column.name for column in cache_metrics.columns] == COLUMNS_OF_CACHE_METRICS.split()
    required = {column.name for column in cache_metrics.columns if not column.nullable}
    assert required == {"id", "timestamp", "cache_name", "cache_key", "key_hash"}


@given(st.text())
def test_a_key_hash_is_the_head_of_its_sha256_and_fits_a_bigint(key):
    text = key.encode(errors="ignore").decode()
    assert key_hash(text).to_bytes(8, "big", signed=True) == hashlib.sha256(text.encode()).digest()[:8]


def test_the_key_hash_of_a_known_key_is_golden():
    assert key_hash("") == int.from_bytes(bytes.fromhex("e3b0c44298fc1c14"), "big", signed=True)


@pytest.fixture
def memory():
    engine = sa.create_engine("sqlite://")
    metadata.create_all(engine)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_moments_come_back_aware_and_in_utc_whatever_zone_they_had(memory):
    moment = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    memory.execute(sa.insert(rl_models).values(registered_name="m", version=1, mlflow_run_id="r", trained_at=moment))
    row = memory.execute(sa.select(rl_models)).one()
    assert row.trained_at == moment
    assert row.trained_at.tzinfo is UTC
    assert timedelta(0) <= utc_now() - row.created_at < timedelta(minutes=1)
    assert row.stage == "None"


def test_a_moment_without_a_zone_is_refused(memory):
    values = {"registered_name": "m", "version": 1, "mlflow_run_id": "r", "trained_at": datetime(2026, 3, 1)}
    with pytest.raises(sa.exc.StatementError, match="a datetime with a zone is needed"):
        memory.execute(sa.insert(rl_models).values(**values))


@pytest.mark.parametrize("second", [{"version": 1, "mlflow_run_id": "b"}, {"version": 2, "mlflow_run_id": "a"}])
def test_a_version_and_a_run_are_registered_once(memory, second):
    memory.execute(sa.insert(rl_models).values(registered_name="m", version=1, mlflow_run_id="a"))
    with pytest.raises(sa.exc.IntegrityError):
        memory.execute(sa.insert(rl_models).values(registered_name="m", **second))
