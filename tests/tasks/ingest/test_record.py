"""Files of requests become rows of `cache_metrics`: all or nothing, once, and bad ones are refused by name."""

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from infra.database.connection import open_database
from schemas.errors import ConfigError, SourceError, StorageError
from schemas.options.train import IngestConfig
from schemas.tables import key_hash
from tasks.ingest.record import ingest_file
from tests.support.databases import add_column, on_each_database

REPOSITORY = Path(__file__).parents[3]


def refusal(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


@on_each_database
def test_a_parquet_file_is_recorded_with_its_values(parquet, record, read):
    path = parquet(
        "web.parquet", timestamp=[2, 1], key=[17, -3], size=[10, 20], load_time_ms=[1.5, None], was_hit=[True, None]
    )
    result = record(path)
    rows = read()
    assert (result.rows, result.added_rows, result.rejected_rows) == (2, 2, 0)
    assert rows["cache_key"].tolist() == ["17", "-3"]
    assert rows["cache_name"].tolist() == ["web", "web"]
    assert rows["timestamp"].tolist() == [2_000_000, 1_000_000]
    assert rows["size_bytes"].tolist() == [10, 20]
    assert rows["load_time_ms"].tolist()[0] == 1.5
    assert rows["was_hit"].tolist()[0] == 1
    assert rows[["load_time_ms", "was_hit"]].iloc[1].isna().all()
    assert rows["key_hash"].tolist() == [key_hash("17"), key_hash("-3")]
    assert set(rows["source_id"]) == {result.source_id}


@on_each_database
def test_the_same_file_twice_adds_no_row_under_any_name(parquet, record, written_rows, tmp_path):
    path = parquet(timestamp=[1, 2], key=["a", "b"])
    first = record(path)
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(path.read_bytes())
    for again in (record(path), record(copy)):
        assert (again.source_id, again.name, again.rows, again.added_rows) == (first.source_id, first.name, 2, 0)
    assert written_rows() == (2, 1)


def test_another_mapping_of_the_same_file_is_another_source(parquet, record, written_rows):
    path = parquet(timestamp=[1, 2], key=["a", "b"], url=["c", "d"])
    assert record(path).source_id != record(path, key="url").source_id
    assert written_rows() == (4, 2)


def test_an_explicit_mapping_wins_over_equal_names_and_aliases(parquet, record, read):
    record(parquet(timestamp=[1], cache_key=["equal"], key=["alias"], url=["mapped"]), key="url")
    assert read()["cache_key"].tolist() == ["mapped"]


def test_an_equal_name_wins_over_an_alias_and_the_rest_is_named(parquet, record, read):
    result = record(parquet(timestamp=[1], key=["alias"], cache_key=["equal"], id=[99], wind=[0.5]))
    assert read()["cache_key"].tolist() == ["equal"]
    assert read()["id"].tolist() == [1]
    assert result.left_out_columns == ("key", "id", "wind")


@on_each_database
def test_columns_that_users_added_are_filled(parquet, record, read, engine):
    add_column(engine, "wind", "FLOAT")
    assert record(parquet(timestamp=[1], key=["a"], wind=[0.5])).left_out_columns == ()
    assert read()["wind"].tolist() == [0.5]


def test_a_csv_file_is_recorded_with_its_values(text_file, record, read):
    path = text_file(
        "calls.csv",
        'timestamp,endpoint,url,size,load_time_ms,was_hit\n2026-03-01T10:00:00Z,prices,"a,b",10,,true\n'
        '2026-03-01 11:00:00+01:00,prices,"two\nlines",,2.5,0\n',
    )
    record(path, key="url")
    rows = read()
    assert rows["cache_key"].tolist() == ["a,b", "two\nlines"]
    assert rows["cache_name"].tolist() == ["prices", "prices"]
    assert rows["timestamp"].tolist() == [1_772_359_200_000_000] * 2
    assert rows["was_hit"].tolist() == [1, 0]
    assert rows["size_bytes"].isna().tolist() == [False, True]


def test_a_csv_value_that_looks_like_a_gap_stays_a_key(text_file, record, read):
    record(text_file("a.csv", "timestamp,key\n1,NA\n2,null\n3,007\n"))
    assert read()["cache_key"].tolist() == ["NA", "null", "007"]


def test_a_csv_column_may_change_its_look_far_into_the_file(text_file, record, read):
    """The first 8 MiB hold numbers only, what follows holds text."""
    lines = [f"{n},{n:040}" for n in range(200_000)]
    result = record(text_file("long.csv", "\n".join(["timestamp,key", *lines, "200000,last"])))
    assert result.rows == 200_001
    assert read()["cache_key"].iloc[-1] == "last"


def test_a_packed_csv_with_a_byte_order_mark_is_read(text_file, record, read):
    record(text_file("calls.csv.gz", "\ufefftimestamp,key\n1,a\n"))
    assert read()[["cache_name", "cache_key"]].values.tolist() == [["calls", "a"]]


@pytest.mark.parametrize(
    ("values", "microseconds"),
    [
        ([0, 7], 7_000_000),
        ([1_772_359_200], 1_772_359_200_000_000),
        ([1_772_359_200.25], 1_772_359_200_250_000),
        ([1_772_359_200_001], 1_772_359_200_001_000),
        ([1_772_359_200_000_001], 1_772_359_200_000_001),
        (pd.to_datetime(["2026-03-01 10:00:00.000001"]), 1_772_359_200_000_001),
        (pd.to_datetime(["2026-03-01 10:00:00"]).tz_localize("Europe/Copenhagen"), 1_772_355_600_000_000),
        (pd.to_datetime(["2026-03-01 10:00:00"]).as_unit("s"), 1_772_359_200_000_000),
        (["2026-03-01T10:00:00.5"], 1_772_359_200_500_000),
        (["2026-03-01"], 1_772_323_200_000_000),
        (["1772359200"], 1_772_359_200_000_000),
    ],
)
def test_moments_of_every_documented_form_are_understood(parquet, record, read, values, microseconds):
    record(parquet(timestamp=values, key=["a"] * len(values)))
    assert read()["timestamp"].iloc[-1] == microseconds


def test_integers_that_gaps_made_float_stay_whole(parquet, record, read):
    record(parquet(timestamp=[1.0, 2.0], key=[5.0, 6.0], size_bytes=[7.0, np.nan], origin_version=[2**60, 1]))
    rows = read()
    assert rows["cache_key"].tolist() == ["5", "6"]
    assert rows["size_bytes"].iloc[0] == 7
    assert rows["origin_version"].iloc[0] == 2**60


def test_sizes_that_no_float_holds_stay_exact(parquet, record, read):
    record(parquet(timestamp=[1, 2], key=["a", "b"], size_bytes=[2**53 + 1, 2**63 - 1]))
    assert read()["size_bytes"].tolist() == [2**53 + 1, 2**63 - 1]


def test_categorical_columns_are_read(parquet, record, read):
    record(parquet(timestamp=[1, 2], key=pd.Categorical(["b", "a"])))
    assert read()["cache_key"].tolist() == ["b", "a"]


BAD_VALUES = [
    ({"size_bytes": [1, -5]}, r"size_bytes must be >= 1: row 2 has -5"),
    ({"size_bytes": [0, 4]}, r"size_bytes must be >= 1: row 1 has 0"),
    ({"size_bytes": [1.5, 4]}, r"size_bytes is no whole number: row 1 has 1.5"),
    ({"size_bytes": [4, np.inf]}, r"size_bytes is not finite: row 2 has inf"),
    ({"size_bytes": ["4", "big"]}, r"size_bytes is no number: row 2 has 'big'"),
    ({"size_bytes": [np.uint64(2**64 - 1), np.uint64(1)]}, r"size_bytes needs more than 64 bits: row 1 has"),
    ({"load_time_ms": [0.0, -0.5]}, r"load_time_ms must be >= 0: row 2 has -0.5"),
    ({"hit_ratio": [0.5, 1.5]}, r"hit_ratio must lie in \[0, 1\]: row 2 has 1.5"),
    ({"was_hit": [1, 2]}, r"was_hit is neither true nor false \(nor 1 nor 0\): row 2 has 2"),
    ({"timestamp": ["2026-03-01", "yesterday"]}, r"timestamp is no ISO 8601 moment: row 2 has 'yesterday'"),
    ({"timestamp": ["2026-03-01", None]}, r"timestamp is no ISO 8601 moment: row 2 has None"),
    ({"timestamp": [1.0, None]}, r"timestamp is missing: row 2 has"),
    ({"timestamp": pd.to_datetime(["2026-03-01", None])}, r"timestamp is missing: row 2 has None"),
    ({"key": ["a", None]}, r"cache_key is missing: row 2 has None"),
    ({"key": ["a", ""]}, r"cache_key is empty: row 2 has ''"),
    ({"key": ["a", "k" * 2049]}, r"cache_key may have 2048 characters at most: row 2 has 'kkk"),
    ({"cache_name": ["a", "n" * 256]}, r"cache_name may have 255 characters at most: row 2"),
]


@pytest.mark.parametrize(("columns", "told"), BAD_VALUES, ids=[told[:40] for _, told in BAD_VALUES])
def test_a_bad_value_is_named_by_row_and_nothing_is_written(parquet, record, written_rows, columns, told):
    path = parquet(**({"timestamp": [1, 2], "key": ["a", "b"]} | columns))
    with pytest.raises(SourceError, match=told) as caught:
        record(path)
    assert "nothing was written" in refusal(caught.value)
    assert written_rows() == (0, 0)


@on_each_database
def test_a_bad_value_far_into_the_file_undoes_all_before_it(parquet, record, written_rows):
    sizes = np.ones(300_000, np.int64)
    sizes[250_000:] = -1
    with pytest.raises(SourceError, match=r"row 250001 has -1, .* row 250005 has -1, and \d+ more up to row 262144"):
        record(parquet(timestamp=np.arange(300_000), key=np.arange(300_000), size_bytes=sizes))
    assert written_rows() == (0, 0)


def test_a_unit_of_time_that_changes_within_a_file_is_refused(parquet, record):
    times = np.arange(200_000)
    times[-1] = 1_772_359_200_000
    with pytest.raises(SourceError, match="row 200000 has 1772359200000"):
        record(parquet(timestamp=times, key=times))


def bad_files(folder: Path) -> list[tuple[Path, str]]:
    def made(name: str, content: bytes) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    log = b'::1 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 10\n'
    packed = gzip.compress(os.urandom(100_000) + log)
    damaged = bytearray(gzip.compress(log * 9_000))
    damaged[len(damaged) // 2] ^= 0xFF
    return [
        (folder / "missing.parquet", "no such file"),
        (folder, "not a file"),
        (made("empty.csv", b""), "the file is empty"),
        (made("lfs.parquet", b"version https://git-lfs"), "not a Parquet file"),
        (made("cut.parquet", b"PAR1" + b"x" * 100), "cannot be read"),
        (made("header.csv", b"timestamp,key\n"), "no rows"),
        (made("twice.csv", b"timestamp,key,key\n1,a,b\n"), "it repeats 'key'"),
        (made("ragged.csv", b"timestamp,key\n1,a\n2,b,c\n"), "Expected 2 columns, got 3"),
        (made("latin.csv", b"timestamp,key\n1,\xe6\n"), "not UTF-8 text"),
        (made("later.csv", b"timestamp,key\n" + b"1,a\n" * 50_000 + b"1,\xe6\n"), "invalid UTF8"),
        (
            made("photo.jpg", b"\xff\xd8\xff\xe0" * 100),
            "not recognised by its content nor its name; say",
        ),
        (made("cut.log.gz", packed[:-20]), "the gzip file ends too early; copy it again"),
        (made("cut.csv.gz", gzip.compress(b"timestamp,key\n1,a\n" * 99)[:-10]), "the gzip file ends too early"),
        (made("damaged.log.gz", bytes(damaged)), "gzip"),
        (made("posts.log", log.replace(b"GET", b"POST")), "no cacheable request"),
    ]


@pytest.mark.parametrize("number", range(15))
def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path, record, written_rows, number):
    path, told = bad_files(tmp_path)[number]
    with pytest.raises(SourceError) as caught:
        record(path)
    assert told in refusal(caught.value)
    assert str(path) in str(caught.value)
    assert written_rows() == (0, 0)


def test_a_file_without_a_key_column_says_what_it_has_and_how_to_name_one(parquet, record):
    with pytest.raises(SourceError, match=r"no key column; it has timestamp, url; name it with --map key=COLUMN"):
        record(parquet(timestamp=[1], url=["a"]))


def test_a_file_without_time_says_how_to_name_it(parquet, record):
    with pytest.raises(SourceError, match=r"no timestamp column; it has key, at; .*--map timestamp=COLUMN"):
        record(parquet(key=[1], at=["a"]))


def test_a_mapping_of_what_does_not_exist_offers_the_nearest_names(parquet, record):
    path = parquet(timestamp=[1], key=["a"], request_url=["b"])
    with pytest.raises(ConfigError, match=r"has no column requst_url; did you mean request_url"):
        record(path, key="requst_url")
    with pytest.raises(ConfigError, match=r"takes no column size_byte; did you mean size_bytes"):
        record(path, size_byte="key")
    with pytest.raises(ConfigError, match=r"takes no column source_id"):
        record(path, source_id="key")


def test_progress_counts_up_to_the_rows_of_the_file(parquet, engine):
    seen: list[tuple[int, int | None]] = []
    path = parquet(timestamp=np.arange(300_000), key=np.arange(300_000) % 10)
    ingest_file(engine, IngestConfig(source=str(path)), lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == [131_072, 262_144, 300_000]
    assert {total for _, total in seen} == {300_000}


def test_a_database_that_fails_in_the_middle_is_a_storage_error_and_leaves_nothing(parquet, engine, written_rows):
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER stop AFTER INSERT ON cache_metrics WHEN new.cache_key = '200000' "
            "BEGIN SELECT RAISE(ABORT, 'stopped'); END"
        )
    path = parquet(timestamp=np.arange(300_000), key=np.arange(300_000))
    with pytest.raises(StorageError, match="stopped"):
        ingest_file(engine, IngestConfig(source=str(path)))
    assert written_rows() == (0, 0)


KILLED = """
import sys, time
from infra.database.connection import open_database
from infra.settings import Settings
from schemas.options.train import IngestConfig
from tasks.ingest.record import ingest_file

def wait_after_the_first_chunk(done, total):
    if done > 100_000:
        print("halfway", flush=True)
        time.sleep(600)

engine = open_database(Settings(_env_file=None, db_url=sys.argv[1]))
ingest_file(engine, IngestConfig(source=sys.argv[2]), wait_after_the_first_chunk)
"""


@on_each_database
def test_an_ingest_killed_in_the_middle_leaves_no_row_and_then_succeeds(parquet, settings):
    path = parquet(timestamp=np.arange(140_000), key=np.arange(140_000) % 1000)
    open_database(settings).dispose()
    url = settings.database_url.render_as_string(hide_password=False)
    process = subprocess.Popen([sys.executable, "-c", KILLED, url, path], cwd=REPOSITORY, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"halfway\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    engine = open_database(settings)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM cache_metrics").scalar_one() == 0
        assert connection.exec_driver_sql("SELECT count(*) FROM ingested_sources").scalar_one() == 0
    assert ingest_file(engine, IngestConfig(source=str(path))).added_rows == 140_000
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM cache_metrics").scalar_one() == 140_000
    engine.dispose()
