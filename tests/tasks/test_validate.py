"""Rows that would poison training are refused, by name, number and value."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from schemas.errors import TraceError
from tasks.validate import validate_rows


def rows_of(count: int = 2_000, **changes: object) -> pd.DataFrame:
    number = np.arange(count)
    frame = pd.DataFrame(
        {
            "id": number + 100,
            "timestamp": number // 2,
            "cache_name": pd.Categorical(["a"] * count),
            "cache_key": pd.Categorical((number % 50).astype(str)),
            "size_bytes": pd.array(number + 1, "Int64"),
            "load_time_ms": number * 0.5,
            "origin_version": pd.array([None] * count, "Int64"),
            "wind": np.where(number % 3, 1.5, np.nan),
            "was_hit": pd.array([True, None] * (count // 2), "boolean"),
        }
    )
    frame.attrs["feature_columns"] = ("wind", "was_hit", "size_bytes")
    return frame.assign(**changes)


def changed(column: str, rows: list[int], values: list[object]) -> pd.DataFrame:
    frame = rows_of()
    frame.loc[rows, column] = values
    return frame


def test_good_rows_pass_with_their_gaps():
    frame = rows_of()
    frame.loc[[3, 4], "size_bytes"] = pd.NA
    frame.loc[[5], "load_time_ms"] = np.nan
    report = validate_rows(frame)
    assert report.passed
    assert len(report.checks) == 19
    report.require()


BAD = [
    (lambda: rows_of(999 + 1).iloc[:999], "at least 1,000 requests: found 999"),
    (lambda: rows_of(cache_key=pd.Categorical(["k"] * 2_000)), "at least 2 distinct keys: found 1"),
    (
        lambda: rows_of(cache_key=pd.Categorical(np.arange(2_000).astype(str))),
        "some key is asked for twice: found 1.0",
    ),
    (lambda: changed("size_bytes", [7, 9], [-5, 0]), "size_bytes >= 1: not so in 2 rows (id 107 has -5, id 109 has 0)"),
    (
        lambda: changed("load_time_ms", [1, 2], [-0.5, np.inf]),
        "load_time_ms >= 0 and finite: not so in 2 rows (id 101 has -0.5, id 102 has inf)",
    ),
    (lambda: changed("timestamp", [800], [3]), "timestamp never falls: not so in 1 row (id 900 has 3)"),
    (lambda: changed("wind", [11], [-np.inf]), "wind is finite: not so in 1 row (id 111 has -inf)"),
    (lambda: changed("cache_key", [4], [None]), "cache_key is known: not so in 1 row (id 104 has nan)"),
]


@pytest.mark.parametrize(("make", "told"), BAD, ids=[told[:30] for _, told in BAD])
def test_bad_rows_are_refused_by_check_number_and_value(make, told):
    report = validate_rows(make())
    assert not report.passed
    with pytest.raises(TraceError) as caught:
        report.require()
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sum(not check.passed for check in report.checks) == 1


def test_every_failed_check_is_told_at_once():
    frame = changed("size_bytes", [7], [-5])
    frame.loc[8, "load_time_ms"] = -1.0
    with pytest.raises(TraceError, match=r"size_bytes >= 1.*load_time_ms >= 0"):
        validate_rows(frame).require()


def test_the_same_key_in_two_caches_is_two_objects():
    names = pd.Categorical(np.where(np.arange(2_000) < 1_000, "a", "b"))
    keys = pd.Categorical((np.arange(2_000) % 1_000).astype(str))
    report = validate_rows(rows_of(cache_name=names, cache_key=keys))
    assert [check.name for check in report.checks if not check.passed] == ["some key is asked for twice"]


def test_validation_writes_and_shows_nothing(tmp_path: Path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    validate_rows(rows_of())
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_million_rows_that_all_fail_are_told():
    frame = rows_of(1_000_000, load_time_ms=-1.0)
    report = validate_rows(frame)
    failed = next(check for check in report.checks if not check.passed)
    assert failed.failing_rows == 1_000_000
    assert [row for row, _ in failed.first_failing] == [100, 101, 102, 103, 104]
