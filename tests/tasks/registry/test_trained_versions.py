"""What the registry tells of versions: which is the newest on a table, and which awaits a judgement."""

import pytest
import sqlalchemy as sa

from infra.database.connection import writing
from schemas.tables import rl_model_events, rl_models, utc_now
from tasks.extract.read import Watermark
from tasks.registry import sql_side
from tasks.registry.trained_versions import in_production, newest_of, trained_versions

NAME = "cache-policy-ttl"


@pytest.fixture
def add(engine: sa.Engine):
    """Put a version, and events of it, into the mirror."""

    def record(version: int, *events: str, **values: object) -> None:
        row = {"registered_name": NAME, "version": version, "mlflow_run_id": f"run {version}", "table_name": "t"}
        with writing(engine) as connection:
            connection.execute(sa.insert(rl_models).values({**row, "trained_at": utc_now(), **values}))
            for event in events:
                connection.execute(sql_side.event(f"run {version}", NAME, event, version=version))

    return record


def test_a_model_without_versions_has_none(engine):
    assert trained_versions(engine, "ttl") == []
    assert (in_production([]), newest_of([], "t")) == (None, None)


def test_a_version_tells_its_table_watermark_and_capacity(add, engine):
    add(1, data_watermark="17:3", cache_bytes=5_000)
    add(2, table_name="another")
    add(3, registered_name="cache-policy-eviction")
    first, second = trained_versions(engine, "ttl")
    assert (first.watermark, first.table, first.cache_bytes, first.cache_size) == (Watermark(17, 3), "t", 5_000, None)
    assert second.watermark is None  # of a release that kept none
    assert (newest_of([first, second], "t"), newest_of([first, second], "u")) == (first, None)


@pytest.mark.parametrize(
    ("challenger", "events", "awaits"),
    [
        (True, (sql_side.INTENDED, sql_side.REGISTERED), True),
        (True, (sql_side.REGISTERED, sql_side.CHANGED, sql_side.RESTORED), True),
        (None, (sql_side.REGISTERED,), False),
        (False, (sql_side.REGISTERED,), False),
        (True, (sql_side.REGISTERED, sql_side.REFUSED), False),
        (True, (sql_side.REGISTERED, sql_side.MOVING), False),
        (True, (sql_side.REGISTERED, sql_side.MOVING, sql_side.PROMOTED, sql_side.ARCHIVED), False),
    ],
)
def test_a_challenger_awaits_its_judgement_until_somebody_decided(challenger, events, awaits, add, engine):
    add(1, *events, challenger=challenger)
    (version,) = trained_versions(engine, "ttl")
    assert version.awaits_judgement is awaits


def test_the_champion_serves_since_the_last_decision_on_it(add, engine):
    add(1, sql_side.REGISTERED, sql_side.PROMOTED, stage="Production")
    add(2, sql_side.REGISTERED)
    champion = in_production(trained_versions(engine, "ttl"))
    assert champion.version == 1
    with engine.connect() as connection:
        promoted = sa.select(rl_model_events.c.created_at).where(rl_model_events.c.event == sql_side.PROMOTED)
        assert champion.since == connection.execute(promoted).scalar_one()
