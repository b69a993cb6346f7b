"""Discovery tells what a table holds, and which columns `train` would take."""

import json
from decimal import Decimal

import pytest
import sqlalchemy as sa

from infra.database.connection import writing
from schemas.errors import ConfigError
from schemas.tables import cache_metrics, key_hash
from tasks.extract.describe_table import describe_columns
from tasks.extract.feature_columns import choose_features
from tasks.extract.read import RowQuery, read_rows

REQUESTS = 200
ADDED = {
    "wind": ("FLOAT", [n % 7 + 0.5 if n % 4 else None for n in range(REQUESTS)]),
    "area": ("VARCHAR(8)", [f"DK{n % 2}" for n in range(REQUESTS)]),
    "same": ("INTEGER", [3] * REQUESTS),
    "clock": ("INTEGER", list(range(REQUESTS))),
    "empty": ("FLOAT", [None] * REQUESTS),
    "price": ("NUMERIC(10, 2)", ["1.25"] * 100 + ["2.5"] * 100),
    "endless": ("FLOAT", [float("inf"), *[1.0] * (REQUESTS - 1)]),
    "long": ("TEXT", ["x" * 300] * REQUESTS),
    "holiday": ("BOOLEAN", [n % 5 == 0 for n in range(REQUESTS)]),
    "blob": ("BLOB", [b"x"] * REQUESTS),
    'odd "name; --': ("INTEGER", [n * n % 11 for n in range(REQUESTS)]),
}


@pytest.fixture
def found(engine: sa.Engine):
    """What is told of each column, by its name."""
    with engine.begin() as connection:
        for name, (kind, _) in ADDED.items():
            quoted = name.replace('"', '""')
            connection.exec_driver_sql(f'ALTER TABLE cache_metrics ADD COLUMN "{quoted}" {kind}')
    with engine.connect() as connection:
        table = sa.Table(cache_metrics.name, sa.MetaData(), autoload_with=connection)
    rows = []
    for n in range(REQUESTS):
        added = {name: Decimal(values[n]) if name == "price" else values[n] for name, (_, values) in ADDED.items()}
        key = str(n % 50)
        own = {"timestamp": n, "cache_name": "a", "cache_key": key, "key_hash": key_hash(key), "was_hit": n % 3 > 0}
        rows.append(own | added)
    with writing(engine) as connection:
        connection.execute(sa.insert(table), rows)
    result = json.loads(json.dumps(describe_columns(engine, "cache_metrics"), allow_nan=False))
    assert (result["rows"], result["judged_rows"]) == (REQUESTS, REQUESTS)
    return {column["name"]: column for column in result["columns"]}


def test_ranges_are_of_all_rows_and_texts_are_counted(found):
    told = {name: (c["null_share"], c["min"], c["max"], c["different"]) for name, c in found.items()}
    assert told["timestamp"] == (0, 0, REQUESTS - 1, None)
    assert told["wind"] == (0.25, 0.5, 6.5, None)
    assert told["area"] == (0, None, None, 2)
    assert told["empty"] == (1, None, None, None)
    assert told["price"] == (0, 1.25, 2.5, None)
    assert told["endless"] == (0, 1, "inf", None)
    assert told["holiday"] == (0, 0, 1, None)
    assert told["blob"] == (0, None, None, None)
    assert told["cache_key"] == (0, None, None, 50)


def test_why_a_column_is_no_feature(found):
    told = {name: (column["feature"], column["why"]) for name, column in found.items()}
    assert told["wind"] == told["area"] == told["price"] == told["holiday"] == told['odd "name; --'] == ("auto", "")
    assert told["same"] == ("by name", "is constant")
    assert told["clock"] == ("by name", "it numbers rows or objects")
    assert told["endless"] == ("by name", "is infinite in the row of id 1")
    assert told["was_hit"] == ("by name", "the recording policy influenced it")
    assert told["empty"] == ("no", "has no value in the training span")
    assert told["long"][0] == "no"
    assert told["blob"] == ("no", "it holds neither numbers, booleans nor text")
    assert told["id"] == told["cache_key"] == ("no", "it numbers rows or objects")
    assert told["size_bytes"] == ("no", "a built-in feature")


def test_what_is_called_auto_is_what_training_takes(found, engine):
    rows, _ = choose_features(read_rows(engine, RowQuery(feature_columns=("auto",))), REQUESTS)
    assert set(rows.attrs["feature_columns"]) == {name for name, c in found.items() if c["feature"] == "auto"}


def test_every_table_is_described_and_only_requests_have_features(engine):
    for name in sa.inspect(engine).get_table_names():
        result = describe_columns(engine, name)
        assert result["judged_rows"] == 0
        assert all("feature" not in column for column in result["columns"])
    assert describe_columns(engine, "rl_models")["columns"][0]["null_share"] is None


def test_what_sqlite_lets_into_a_column_of_moments_is_no_crash(engine):
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE odd (day DATE, at DATETIME, price NUMERIC)")
        connection.exec_driver_sql("INSERT INTO odd VALUES ('yesterday', 'noon', 'dear'), (NULL, NULL, NULL)")
    told = [(column["null_share"], column["max"]) for column in describe_columns(engine, "odd")["columns"]]
    assert told == [(0.5, "yesterday"), (0.5, "noon"), (0.5, "dear")]


@pytest.mark.parametrize("name", ["cache_metric", 'cache_metrics"; DROP TABLE rl_models; --', "sqlite_master", ""])
def test_a_table_that_does_not_exist_is_one_line_and_nothing_runs(name, engine):
    tables = sa.inspect(engine).get_table_names()
    with pytest.raises(ConfigError, match=r"^table .* is not in the database") as caught:
        describe_columns(engine, name)
    assert "\n" not in str(caught.value)
    assert sa.inspect(engine).get_table_names() == tables
