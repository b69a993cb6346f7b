"""What was recorded is what is read, in time order, and becomes a Trace."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from cachesim.analysis.key_sample import positions, threshold
from infra.database.connection import reflected_table, writing
from schemas.errors import ConfigError, TraceError
from schemas.options.train import IngestConfig
from schemas.tables import cache_metrics, key_hash
from tasks.extract.read import RowQuery, count_requests, read_rows
from tasks.extract.to_trace import to_trace
from tasks.ingest.record import ingest_file
from tests.support.databases import add_column, on_each_database

ROW = st.fixed_dictionaries(
    {
        "timestamp": st.integers(-(10**15), 4 * 10**15),
        "cache_name": st.sampled_from(["a", "b", "æ"]),
        "cache_key": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=5),
        "size_bytes": st.none() | st.integers(1, 2**62),
        "load_time_ms": st.none() | st.floats(0, 1e6, width=32),
        "origin_version": st.none() | st.integers(-(2**63), 2**63 - 1),
        "hit_ratio": st.none() | st.floats(0, 1, width=32),
        "was_hit": st.none() | st.booleans(),
        "rl_action_taken": st.none() | st.integers(0, 1000),
    }
)
FEATURES = ("hit_ratio", "was_hit", "rl_action_taken")


def insert(engine: sa.Engine, rows: list[dict]) -> None:
    filled = [{"timestamp": 0, "cache_name": "a", "cache_key": "k"} | row for row in rows]
    with writing(engine) as connection:
        connection.execute(sa.delete(cache_metrics))
        connection.execute(sa.insert(cache_metrics), [r | {"key_hash": key_hash(r["cache_key"])} for r in filled])


def float32(values: list) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float32)


def sizes_expected(rows: list[dict]) -> list[int]:
    """The size of each request: its own, else the last known of its object, else 1."""
    last: dict[tuple[str, str], int] = {}
    expected = []
    for row in rows:
        pair = (row["cache_name"], row["cache_key"])
        last[pair] = row["size_bytes"] or last.get(pair, 1)
        expected.append(last[pair])
    return expected


@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROW, min_size=1, max_size=20))
@on_each_database
def test_rows_survive_the_way_through_the_table_into_a_trace(engine, rows):
    insert(engine, rows)
    trace = to_trace(read_rows(engine, RowQuery(feature_columns=FEATURES)))
    rows = sorted(rows, key=lambda row: row["timestamp"])  # stable: ids break ties
    pairs = [(row["cache_name"], row["cache_key"]) for row in rows]
    in_order_of_appearance = {pair: code for code, pair in enumerate(dict.fromkeys(pairs))}
    assert trace.key.tolist() == [in_order_of_appearance[pair] for pair in pairs]
    assert trace.n_keys == trace.distinct_keys == len(in_order_of_appearance)
    assert [trace.endpoint_names[code] for code in trace.endpoint] == [row["cache_name"] for row in rows]
    assert trace.timestamp_s.tolist() == [row["timestamp"] / 1e6 for row in rows]
    assert trace.size_bytes.tolist() == sizes_expected(rows)
    np.testing.assert_array_equal(trace.load_time_ms, float32([row["load_time_ms"] for row in rows]))
    for number, name in enumerate(FEATURES):
        np.testing.assert_array_equal(trace.columns[:, number], float32([row[name] for row in rows]))
    versions = [row["origin_version"] for row in rows]
    assert (trace.version is None) == (set(versions) == {None})
    if trace.version is not None:
        known = [(got, own) for got, own in zip(trace.version.tolist(), versions, strict=True) if own is not None]
        assert all(got == own for got, own in known)


def test_an_unknown_version_is_no_change_of_content(engine):
    insert(
        engine, [{"origin_version": v, "cache_key": k} for k, v in [("a", None), ("a", 5), ("a", None), ("b", None)]]
    )
    trace = to_trace(read_rows(engine, RowQuery()))
    assert trace.version is not None
    assert trace.version.tolist() == [5, 5, 5, 0]


@on_each_database
def test_no_row_is_lost_between_fetches(engine, monkeypatch):
    monkeypatch.setattr("tasks.extract.fetch.FETCH_ROWS", 20)
    monkeypatch.setitem(sys.modules, "connectorx", None)
    count = 41
    insert(engine, [{"timestamp": count - n, "cache_key": str(n % 7)} for n in range(count)])
    rows = read_rows(engine, RowQuery())
    assert rows["id"].tolist() == list(range(count, 0, -1))
    assert rows["cache_key"].tolist() == [str(n % 7) for n in range(count - 1, -1, -1)]


@on_each_database
def test_the_newest_rows_are_read_when_their_number_is_limited(engine):
    insert(engine, [{"timestamp": t} for t in [5, 1, 4, 2, 4]])
    rows = read_rows(engine, RowQuery(max_queries=3))
    assert rows["timestamp"].tolist() == [4, 4, 5]
    assert rows["id"].tolist() == [3, 5, 1]


@on_each_database
def test_since_is_read_and_until_is_not(engine):
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    noon_us = int(noon.timestamp()) * 1_000_000
    insert(engine, [{"timestamp": noon_us + t} for t in (-1, 0, 1, 2)])
    later = noon.replace(microsecond=2)
    assert (read_rows(engine, RowQuery(since=noon, until=later))["timestamp"] - noon_us).tolist() == [0, 1]
    naive = read_rows(engine, RowQuery(since=noon.replace(tzinfo=None), until=later.replace(tzinfo=None)))
    assert (naive["timestamp"] - noon_us).tolist() == [0, 1]


@on_each_database
def test_one_source_is_read_apart_from_others_and_from_services(engine, parquet):
    first, second = (
        ingest_file(engine, IngestConfig(source=str(parquet(f"{name}.parquet", timestamp=[1, 2], key=[name, name]))))
        for name in ("one", "two")
    )
    assert set(read_rows(engine, RowQuery(source_id=second.source_id))["cache_key"]) == {"two"}
    assert len(read_rows(engine, RowQuery(source_id=first.source_id))) == 2
    assert len(read_rows(engine, RowQuery())) == 4


@on_each_database
def test_columns_that_users_added_can_be_features(engine):
    names = ("wind; drop table x", "is_holiday", "price")
    for name, sql_type in zip(names, ("FLOAT", "BOOLEAN", "NUMERIC(20, 12)"), strict=True):
        add_column(engine, name, sql_type)
    insert(engine, [{}, {}])
    with engine.begin() as connection:
        table = reflected_table(connection, cache_metrics.name)
        values = {table.c[names[0]]: table.c.id, table.c.is_holiday: True, table.c.price: 1.5}
        connection.execute(sa.update(table).values(values))
    trace = to_trace(read_rows(engine, RowQuery(feature_columns=names)))
    assert trace.column_names == names
    assert trace.columns.tolist() == [[1, 1, 1.5], [2, 1, 1.5]]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (("hit_ration",), r"no column hit_ration to learn from; did you mean hit_ratio"),
        (("cache_key",), r"cache_key cannot be learned from: it numbers rows or objects; leave it out"),
        (("id",), r"id cannot be learned from: it numbers rows or objects"),
        (("size_bytes",), r"size_bytes cannot be learned from: a built-in feature"),
        (("was_hit", "was_hit"), r"was_hit is named twice"),
        (("1; DROP TABLE cache_metrics",), r"no column 1; DROP TABLE cache_metrics to learn from"),
    ],
)
def test_a_feature_column_that_cannot_be_is_refused_with_the_remedy(engine, columns, told):
    insert(engine, [{}])
    with pytest.raises(ConfigError, match=told) as caught:
        read_rows(engine, RowQuery(feature_columns=columns))
    assert "\n" not in str(caught.value)
    assert len(read_rows(engine, RowQuery())) == 1


@on_each_database
def test_an_empty_table_says_how_to_fill_it(engine):
    with pytest.raises(TraceError, match=r"cache_metrics is empty; .*flows ingest --source.*flows simulate"):
        read_rows(engine, RowQuery())


def test_a_span_without_requests_says_what_the_table_spans(engine):
    insert(engine, [{"timestamp": 0}, {"timestamp": 1_000_000}])
    with pytest.raises(TraceError, match=r"no requests for since 2026-01-01T00:00:00; it spans 1970-01-01T00:00:00"):
        read_rows(engine, RowQuery(since=datetime(2026, 1, 1)))


def test_a_million_rows_are_read_as_they_were_written(traces_dir: Path, engine):
    path = traces_dir / "orm_busy.parquet"
    source = ingest_file(engine, IngestConfig(source=str(path)))
    assert (source.added_rows, source.left_out_columns) == (1_000_000, ("key_type",))
    trace = to_trace(read_rows(engine, RowQuery(source_id=source.source_id)))
    written = pd.read_parquet(path)
    np.testing.assert_array_equal(trace.key, pd.factorize(written["key"])[0])
    np.testing.assert_array_equal(trace.timestamp_s, written["timestamp"])
    np.testing.assert_array_equal(trace.size_bytes, written["size_bytes"])
    assert trace.endpoint_names == ("orm_busy",)


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.01])
@on_each_database
def test_a_sample_of_the_keys_is_that_of_the_hashes(engine, rate):
    insert(engine, [{"timestamp": n, "cache_key": f"GET /{n % 1000}"} for n in range(3_000)])
    rows = read_rows(engine, RowQuery(key_sample=rate))
    hashes = {key: key_hash(key) for key in (f"GET /{n}" for n in range(1_000))}
    taken = positions(np.array(list(hashes.values()), np.int64)) < threshold(rate)
    assert set(rows["cache_key"]) == {key for key, chosen in zip(hashes, taken, strict=True) if chosen}
    assert rows["timestamp"].tolist() == [n for n in range(3_000) if taken[n % 1000]]


def test_all_requests_over_the_time_of_a_sample_are_counted(engine):
    insert(engine, [{"timestamp": n, "cache_key": f"GET /{n % 10}"} for n in range(100)])
    query = RowQuery(key_sample=0.3, max_queries=5)
    rows = read_rows(engine, query)
    first, last = rows["timestamp"].iloc[0], rows["timestamp"].iloc[-1]
    assert count_requests(engine, query, to_trace(rows)) == last - first + 1
