"""What `preview` tells of a file is what `ingest` then makes of it; and it writes nothing."""

import sqlite3
from contextlib import closing

import pandas as pd
import pytest

from infra.settings import Settings
from schemas.errors import ConfigError, SourceError
from schemas.options.train import PreviewConfig
from schemas.tables import cache_metrics
from tasks.ingest.preview import present_table, preview_source

LOG = '10.0.0.1 - - [17/May/2015:10:05:{second:02} +0000] "{request} HTTP/1.1" {status} {size} "-" "curl" 0.{second:03}'


def preview(path, table=cache_metrics, **options):
    return preview_source(PreviewConfig(source=str(path), **options), table)


def log(*requests: str) -> str:
    lines = [LOG.format(second=n, request=request, status=200, size="-") for n, request in enumerate(requests)]
    return "\n".join([*lines, LOG.format(second=59, request="GET /a", status=500, size=1), "broken"])


def test_a_log_is_shown_as_it_would_be_recorded(text_file):
    path = text_file("a.log", log("GET /u/7?b=1&a=2", "GET /u/7?a=2&b=1", "GET /u/8?t=1", *["GET /u/9"] * 40))
    seen = preview(path, key_rules=("safe", "drop-volatile"))
    assert (seen.name, seen.format, seen.total_rows) == ("a.log", "nginx", None)
    assert (seen.rows, seen.rejected_rows, seen.skipped_rows, seen.too_many_rejected) == (43, 1, 1, False)
    assert seen.first_rejections[0].startswith("line 45: not Combined")
    assert (seen.distinct_objects_before, seen.distinct_objects) == (4, 3)
    assert (seen.first_moment, seen.last_moment) == ("2015-05-17T10:05:00+00:00", "2015-05-17T10:05:42+00:00")
    assert seen.missing_shares == {"size_bytes": 1.0, "load_time_ms": 0.0}
    assert seen.first_changes == {"GET /u/7?b=1&a=2": "GET /u/7?a=2&b=1", "GET /u/8?t=1": "GET /u/8"}
    assert seen.rules == ("lower-host", "sort-query", "drop-fragment", "drop-volatile")
    assert seen.first_rows[2] == {
        "timestamp": "2015-05-17T10:05:02+00:00",
        "cache_name": "/u",
        "cache_key": "GET /u/8",
        "size_bytes": None,
        "load_time_ms": 2.0,
    }


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl", "a.csv.zst"])
def test_only_the_first_rows_are_looked_at(name, tmp_path, text_file):
    frame = pd.DataFrame({"timestamp": range(200_000), "key": [f"/{n}" for n in range(200_000)], "wind": 1})
    frame.loc[150, "key"] = ""  # which ingest refuses
    if name.endswith("parquet"):
        path = tmp_path / name
        frame.to_parquet(path)
    else:
        path = text_file(name, frame.to_json(lines=True, orient="records") if "json" in name else frame.to_csv())
    seen = preview(path, rows=100)
    assert (seen.rows, seen.distinct_objects, seen.last_moment) == (100, 100, "1970-01-01T00:01:39+00:00")
    assert seen.total_rows == (200_000 if name.endswith("parquet") else None)
    assert "wind" in seen.left_out_columns
    with pytest.raises(SourceError, match=r"cache_key is (empty|missing): row 151"):
        preview(path, rows=151)


def test_it_tells_the_same_as_ingest_then_does(traces_dir, ingest, read):
    path = traces_dir / "apache_access.log.gz"
    options = {"key_rules": ("safe", "template-ids", "drop-volatile")}
    seen, recorded = preview(path, rows=100_000, **options), ingest(path, **options)
    rows = read()
    assert (seen.rows, seen.rejected_rows, seen.skipped_rows) == (
        recorded.rows, recorded.rejected_rows, recorded.skipped_rows
    )  # fmt: skip
    assert seen.first_rejections == recorded.first_rejections
    assert seen.distinct_objects == len(rows[["cache_name", "cache_key"]].drop_duplicates())
    assert seen.distinct_objects < seen.distinct_objects_before == 1_443
    assert [row["cache_key"] for row in seen.first_rows] == rows["cache_key"].tolist()[:5]


def test_a_file_that_ingest_would_refuse_is_told_so(text_file):
    assert preview(text_file("a.log", "broken\n" * 9 + log("GET /a"))).too_many_rejected
    with pytest.raises(SourceError, match="no key column"):
        preview(text_file("a.csv", "timestamp,url\n1,a\n"))
    with pytest.raises(ConfigError, match="has no column urk"):
        preview(text_file("a.csv", "timestamp,url\n1,a\n"), map={"key": "urk"})


def test_a_file_without_a_request_has_no_span_and_no_share(text_file):
    seen = preview(text_file("a.log", "broken\n"))
    assert (seen.rows, seen.first_moment, seen.last_moment, seen.first_rows) == (0, None, None, ())


def test_columns_that_users_added_have_a_place_where_the_database_is_there(engine, text_file, settings):
    path = text_file("a.csv", "timestamp,key,wind\n1,a,0.5\n")
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE cache_metrics ADD COLUMN wind FLOAT")
    assert preview(path).left_out_columns == ("wind",)
    seen = preview(path, present_table(settings.database_url))
    assert (seen.left_out_columns, seen.columns["wind"]) == ((), "wind")


@pytest.mark.parametrize("url", ["sqlite:///{}/none/ers.db", "sqlite:///{}/other.db", "postgresql+none://h/d"])
def test_without_a_database_the_table_is_the_one_that_would_be_made(url, tmp_path):
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE something (id INTEGER)")
    before = sorted(tmp_path.rglob("*"))
    settings = Settings(_env_file=None, db_url=url.format(tmp_path))
    assert present_table(settings.database_url) is cache_metrics
    assert sorted(tmp_path.rglob("*")) == before
