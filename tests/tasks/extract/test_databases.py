"""What holds on each database alike: nothing is lost, nothing half-done shows, and names are never SQL."""

import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from infra.database.connection import open_database, writing
from infra.settings import Settings
from schemas.errors import ConfigError, ErsError, SourceError, TraceError
from schemas.options.train import IngestConfig
from schemas.tables import MAX_CACHE_KEY_CHARS, cache_metrics, ingested_sources
from tasks.extract.read import RowQuery, read_rows, watermark
from tasks.extract.to_trace import to_trace
from tasks.ingest.record import ingest_file
from tests.support.databases import add_column, counts, insert_requests, on_each_database

INJECTIONS = (
    "x'; DROP TABLE cache_metrics; --",
    'x"; DROP TABLE cache_metrics; --',
    "x`; DROP TABLE cache_metrics; --",
    "cache_metrics; DELETE FROM cache_metrics",
    "cache_metrics UNION SELECT * FROM rl_models",
    "(SELECT 1)",
    "1 OR 1=1",
    "cache_metrics--",
    "%s",
    ":id",
    "\\",
    "sqlite_master",
    "information_schema.tables",
    "",
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ODD_TEXT = TEXT | st.sampled_from(
    ["\\N", "NULL", "a\tb", "a\nb", "a\r", "\\", '"', "'", "", " ", "a ", "A", "a", "😀", "ß"]
)
SCHEMA = pa.schema(
    [
        ("timestamp", pa.int64()),
        ("cache_name", pa.string()),
        ("cache_key", pa.string()),
        ("size_bytes", pa.int64()),
        ("load_time_ms", pa.float64()),
        ("origin_version", pa.int64()),
        ("was_hit", pa.bool_()),
        ("policy_triggered", pa.string()),
    ]
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "timestamp": st.integers(10**14, 4 * 10**15),
            "cache_name": ODD_TEXT.filter(bool),
            "cache_key": ODD_TEXT.filter(bool),
            "size_bytes": st.none() | st.integers(1, 2**53),
            "load_time_ms": st.none() | st.floats(0, 1e300),
            "origin_version": st.none() | st.integers(-(2**63), 2**63 - 1),
            "was_hit": st.none() | st.booleans(),
            "policy_triggered": st.none() | ODD_TEXT,
        }
    ),
    min_size=1,
    max_size=12,
)


@pytest.fixture(params=["connectorx", "sqlalchemy"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With and without the fast reader; SQLite never uses it."""
    if request.param == "sqlalchemy":
        monkeypatch.setitem(sys.modules, "connectorx", None)  # importing it fails, as where it is not installed
    return str(request.param)


def emptied(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        connection.execute(sa.delete(cache_metrics))
        connection.execute(sa.delete(ingested_sources))


@pytest.mark.slow
@on_each_database
@examples(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_rows_of_a_file_survive_the_way_through_the_table_into_a_trace(engine, tmp_path, rows):
    emptied(engine)
    path = tmp_path / "requests.parquet"
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path)
    ingest_file(engine, IngestConfig(source=str(path), key_rules=("none",)))
    read = read_rows(engine, RowQuery(feature_columns=("was_hit", "policy_triggered")))
    expected = sorted(rows, key=lambda row: row["timestamp"])
    for name in SCHEMA.names:
        values = [None if pd.isna(value) else value for value in read[name].astype(object)]
        assert values == [row[name] for row in expected], name
    trace = to_trace(read)
    assert len(trace) == len(rows)
    assert trace.n_keys == len({(row["cache_name"], row["cache_key"]) for row in rows})
    np.testing.assert_array_equal(trace.timestamp_s, np.sort([row["timestamp"] for row in rows]) / 1e6)


@on_each_database
def test_a_key_longer_than_the_column_is_refused_with_its_row(parquet, record, engine):
    path = parquet(timestamp=[1, 2], key=["k" * MAX_CACHE_KEY_CHARS, "k" * (MAX_CACHE_KEY_CHARS + 1)])
    with pytest.raises(SourceError, match=rf"cache_key may have {MAX_CACHE_KEY_CHARS} characters at most: row 2 has"):
        record(path)
    assert counts(engine) == [0, 0]


@on_each_database
def test_a_key_of_nothing_but_wide_characters_fits(parquet, record, engine):
    longest = "😀" * MAX_CACHE_KEY_CHARS
    record(parquet(timestamp=[1], key=[longest]))
    assert read_rows(engine, RowQuery())["cache_key"].tolist() == [longest]


@pytest.mark.parametrize("where", ["here", "server"])
def test_a_load_goes_on_where_load_data_is_not_allowed(databases, parquet, where):
    url = databases.url("mariadb")
    if where == "here":
        url = url.set(query={"local_infile": "0"})
    engine = open_database(Settings(_env_file=None, db_url=url.render_as_string(hide_password=False)))
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SET GLOBAL local_infile = {int(where == 'here')}")
    try:
        ingest_file(
            engine, IngestConfig(source=str(parquet(timestamp=[1, 2], key=["a\tb", "\\"], was_hit=[True, None])))
        )
        assert read_rows(engine, RowQuery())["cache_key"].tolist() == ["a\tb", "\\"]
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql("SET GLOBAL local_infile = 1")
        engine.dispose()


@on_each_database
def test_both_readers_give_the_same_rows(engine, monkeypatch):
    add_column(engine, "price", "NUMERIC(20, 12)")
    add_column(engine, "half", "FLOAT")
    add_column(engine, 'odd "`%s:x', "INTEGER")
    monkeypatch.setattr("tasks.extract.fetch.FETCH_ROWS", 7)
    rng = np.random.default_rng(1)
    insert_requests(
        engine,
        [
            {
                "timestamp": int(rng.integers(10**15)),
                "cache_name": str(n % 3),
                "cache_key": f"é{n % 7}",
                "load_time_ms": None if n % 5 == 0 else float(rng.random()),
                "size_bytes": None if n % 4 == 0 else n,
                "was_hit": [None, True, False][n % 3],
            }
            for n in range(50)
        ],
    )
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE cache_metrics SET price = 0.123456789012, half = 0.1")
    query = RowQuery(feature_columns=("was_hit", "price", "half", 'odd "`%s:x'), since=datetime(1970, 1, 2))
    fast = read_rows(engine, query)
    monkeypatch.setitem(sys.modules, "connectorx", None)
    plain = read_rows(engine, query)
    pd.testing.assert_frame_equal(fast, plain)
    assert fast["price"].tolist() == [0.123456789012] * len(fast)
    assert fast["timestamp"].is_monotonic_increasing


@on_each_database
def test_a_read_sees_one_moment_while_rows_arrive(engine, reader, monkeypatch):
    monkeypatch.setattr("tasks.extract.fetch.FETCH_ROWS", 3)
    stop = threading.Event()

    def write_pairs() -> None:
        second = 0
        while not stop.is_set():
            second += 1
            pair = {"timestamp": second * 1_000_000, "cache_name": "a"}
            insert_requests(engine, [{**pair, "cache_key": "first"}, {**pair, "cache_key": "second"}])

    insert_requests(engine, [{"timestamp": 0, "cache_name": "a", "cache_key": key} for key in ("first", "second")])
    writer = threading.Thread(target=write_pairs)
    writer.start()
    try:
        reads = [read_rows(engine, RowQuery())]
        deadline_s = time.monotonic() + 60.0  # a busy server writes a pair a second at times
        while len(reads) < 10 or (len(reads[-1]) == len(reads[0]) and time.monotonic() < deadline_s):
            reads.append(read_rows(engine, RowQuery()))
    finally:
        stop.set()
        writer.join()
    assert len(reads[-1]) > len(reads[0])
    for rows in reads:
        assert rows["cache_key"].tolist() == ["first", "second"] * (len(rows) // 2)


@on_each_database
def test_reading_on_from_a_watermark_gives_each_row_once(engine):
    rng = np.random.default_rng(2)
    rows = [{"timestamp": int(t), "cache_name": "a", "cache_key": str(n)} for n, t in enumerate(rng.integers(0, 9, 40))]
    rows.sort(key=lambda row: row["timestamp"])
    read: list[str] = []
    mark = None
    for start in range(0, 40, 10):  # ties of time go across the boundaries
        insert_requests(engine, rows[start : start + 10])
        arrived = read_rows(engine, RowQuery(after=mark))
        read += arrived["cache_key"].tolist()
        mark = watermark(arrived)
    assert read == [row["cache_key"] for row in rows]


@on_each_database
def test_a_table_of_the_users_own_is_read_when_it_has_the_columns(engine):
    moment = "DATETIME(6)" if engine.dialect.name == "mysql" else "TIMESTAMP"
    first = datetime(2026, 3, 1, 10, 0, 0, 123456)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE TABLE requests (id INTEGER PRIMARY KEY, timestamp {moment}, cache_name TEXT, cache_key TEXT)"
        )
        table = sa.Table("requests", sa.MetaData(), autoload_with=connection)
        for n in range(3):
            row = {"id": n, "timestamp": first - timedelta(seconds=n), "cache_name": "a", "cache_key": str(n)}
            connection.execute(sa.insert(table).values(row))
    rows = read_rows(engine, RowQuery(table="requests", since=first - timedelta(seconds=1)))
    assert rows["cache_key"].tolist() == ["1", "0"]
    last_us = (first.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert rows["timestamp"].tolist() == [last_us - 1_000_000, last_us]
    assert to_trace(rows).size_bytes.tolist() == [1, 1]
    with pytest.raises(ConfigError, match="key_sample: table requests has no key_hash"):
        read_rows(engine, RowQuery(table="requests", key_sample=0.5))


@on_each_database
def test_rows_with_the_same_id_are_refused_also_across_pages(engine, reader, monkeypatch):
    monkeypatch.setattr("tasks.extract.fetch.FETCH_ROWS", 2)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE twice (id INTEGER, timestamp BIGINT, cache_name TEXT, cache_key TEXT)")
        connection.exec_driver_sql("INSERT INTO twice VALUES (1, 1, 'a', 'b'), (2, 2, 'a', 'b'), (2, 2, 'a', 'b')")
    with pytest.raises(TraceError, match="table twice: the same id stands in several rows"):
        read_rows(engine, RowQuery(table="twice"))


@on_each_database
def test_a_table_that_lacks_a_column_says_which_and_a_view_mends_it(engine):
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE hits (id INTEGER PRIMARY KEY, at BIGINT, url VARCHAR(50))")
        connection.exec_driver_sql("INSERT INTO hits VALUES (1, 5, '/a')")
    with pytest.raises(ConfigError, match=r"table hits lacks timestamp, cache_name, cache_key; .* make a view"):
        read_rows(engine, RowQuery(table="hits"))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE VIEW hits_view AS SELECT id, at AS timestamp, 'web' AS cache_name, url AS cache_key FROM hits"
        )
    assert read_rows(engine, RowQuery(table="hits_view"))["cache_key"].tolist() == ["/a"]


def test_what_a_view_of_sqlite_computes_has_no_type_and_is_told_so(engine):
    insert_requests(engine, [{"timestamp": 1, "cache_name": "a", "cache_key": "k", "size_bytes": 7}])
    with engine.begin() as connection:
        columns = "id, timestamp, cache_name, cache_key, 2 * size_bytes AS size_bytes"
        connection.exec_driver_sql(f"CREATE VIEW doubled AS SELECT {columns} FROM cache_metrics")
    with pytest.raises(TraceError, match="column size_bytes holds 14 where text is needed; give it a type"):
        read_rows(engine, RowQuery(table="doubled"))


@on_each_database
@pytest.mark.parametrize("name", INJECTIONS)
def test_no_name_that_a_user_gives_becomes_sql(engine, parquet, name):
    insert_requests(engine, [{"timestamp": 1, "cache_name": "a", "cache_key": "k"}])
    path = parquet(timestamp=[1], key=["a"])
    attempts: list[Callable[[], object]] = [
        lambda: read_rows(engine, RowQuery(table=name)),
        lambda: read_rows(engine, RowQuery(feature_columns=(name,))),
        lambda: ingest_file(engine, IngestConfig(source=str(path), map={name: "key"})),
        lambda: ingest_file(engine, IngestConfig(source=str(path), map={"key": name})),
    ]
    for attempt in attempts:
        with pytest.raises(ErsError) as caught:
            attempt()
        assert caught.value.exit_status == 2
        assert "\n" not in str(caught.value)
    assert counts(engine) == [1, 0]


@on_each_database
def test_columns_with_names_like_sql_are_names(engine, parquet):
    name = "x\"; DROP TABLE cache_metrics; --%s`'"
    add_column(engine, name, "INTEGER")
    ingest_file(engine, IngestConfig(source=str(parquet(**{"timestamp": [1, 2], "key": ["a", "b"], name: [5, 6]}))))
    assert read_rows(engine, RowQuery(feature_columns=(name,)))[name].tolist() == [5, 6]


@on_each_database
def test_a_missing_table_is_one_line_that_offers_the_nearest(engine):
    with pytest.raises(ConfigError, match=r"table 'cache_metric' is not in the database .*did you mean cache_metrics"):
        read_rows(engine, RowQuery(table="cache_metric"))
