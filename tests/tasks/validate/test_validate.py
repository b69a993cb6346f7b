"""Rows that would poison training are left out or refused, by name, number and value; what is odd is a warning."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import UnfitError
from schemas.options.train import CurveConfig, ReadConfig, TrainConfig
from tasks.drift.psi import profile_of
from tasks.drift.reference import Reference
from tasks.validate.validate import ValidationReport, validate_rows

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NONE_INVALID = ReadConfig(max_invalid_share=0)


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
    assert not report.warnings
    assert not report.invalid.size
    report.require()


def broken(report: ValidationReport, level: str) -> list[str]:
    return [check.name for check in report.checks if check.level == level and not check.passed]


BAD = [
    (lambda: rows_of(999 + 1).iloc[:999], "at least 1,000 requests: found 999"),
    (lambda: rows_of(cache_key=pd.Categorical(["k"] * 2_000)), "at least 2 distinct keys: found 1"),
    (
        lambda: rows_of(cache_key=pd.Categorical(np.arange(2_000).astype(str))),
        "some key is asked for twice: found 0",
    ),
    (
        lambda: changed("size_bytes", [7, 9], [-5, 0]),
        "size_bytes in 1..2^53: not so in 2 rows (id 107 has -5, id 109 has 0)",
    ),
    (
        lambda: changed("size_bytes", [7, 9], [2**53, 2**53 + 2]),
        "size_bytes in 1..2^53: not so in 1 row (id 109 has 9007199254740994)",
    ),
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
    report = validate_rows(make(), NONE_INVALID)
    assert not report.passed
    with pytest.raises(UnfitError) as caught:
        report.require()
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert broken(report, "error") == [told.split(": ")[0]]


def test_every_failed_check_is_told_at_once():
    frame = changed("size_bytes", [7], [-5])
    frame.loc[8, "load_time_ms"] = -1.0
    with pytest.raises(UnfitError, match=r"size_bytes in .*load_time_ms >= 0.*2 of 2,000 rows, 0.10%, more than"):
        validate_rows(frame, NONE_INVALID).require()


def test_a_row_later_than_tomorrow_is_invalid():
    latest_us = round((NOW + timedelta(days=1)).timestamp() * 1e6)
    frame = rows_of(timestamp=latest_us - 1_998 + np.arange(2_000))  # the last one is a microsecond too late
    assert validate_rows(frame, now=NOW).invalid.tolist() == [100 + 1_999]


@settings(max_examples=8, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 1_999), max_size=20),
    times=st.lists(st.integers(0, 1_999), max_size=20),
    limit=st.sampled_from([0.0, 0.005, 1.0]),
)
def test_what_is_kept_and_what_is_invalid_make_up_what_was_read(sizes, times, limit):
    frame = rows_of()
    frame.loc[sizes, "size_bytes"] = -1
    frame.loc[times, "load_time_ms"] = np.inf
    report = validate_rows(frame, ReadConfig(max_invalid_share=limit))
    kept = report.kept(frame)
    assert report.invalid.tolist() == sorted({100 + number for number in (*sizes, *times)})
    assert sorted([*kept["id"], *report.invalid]) == frame["id"].tolist()
    assert kept.attrs == frame.attrs
    assert report.passed == (report.invalid.size <= limit * len(frame))
    if report.passed:
        assert validate_rows(kept, NONE_INVALID).passed


def test_the_rest_is_judged_as_a_whole_without_the_invalid_rows():
    frame = changed("size_bytes", list(range(1_001)), [-1] * 1_001)
    with pytest.raises(UnfitError, match="at least 1,000 requests: found 999"):
        validate_rows(frame, ReadConfig(max_invalid_share=1)).require()


def test_no_row_left_is_told_and_no_crash():
    report = validate_rows(rows_of(size_bytes=pd.array([-1] * 2_000, "Int64")), ReadConfig(max_invalid_share=1))
    assert "at least 1,000 requests: found 0" in [str(check) for check in report.checks]


ODD = [
    (lambda: rows_of(cache_key=pd.Categorical((np.arange(2_000) % 49).astype(str))), "at least 50 distinct keys"),
    (
        lambda: rows_of(cache_key=pd.Categorical(np.minimum(np.arange(2_000), 1_985).astype(str))),
        "at least 1% of the requests repeat a key",
    ),
    (
        lambda: rows_of(cache_key=pd.Categorical(np.maximum(np.arange(2_000) - 1_050, 0).astype(str))),
        "no key has more than 50% of the requests",
    ),
    (lambda: rows_of(timestamp=5), "time passes"),
]


@pytest.mark.parametrize(("make", "told"), ODD, ids=[told for _, told in ODD])
def test_what_is_odd_is_a_warning_and_stops_nothing(make, told):
    report = validate_rows(make())
    report.require()
    assert broken(report, "warning") == [told]
    assert len(report.warnings) == 1


def test_rows_that_are_there_twice_are_a_warning_once_they_are_many():
    frame = rows_of()
    twice = pd.concat([frame, frame.iloc[:100]]).sort_values("timestamp", kind="stable", ignore_index=True)
    twice["id"] = np.arange(2_100)
    twice.attrs = frame.attrs
    report = validate_rows(twice)
    assert broken(report, "warning") == ["at most 1% duplicate rows"]
    assert sum(check.failing.size for check in report.checks) == 100
    twice["wind"] = np.arange(2_100) * 1.0  # what differs in one column is no duplicate
    assert validate_rows(twice).warnings == ()


def test_a_column_of_a_service_outside_its_range_is_a_warning_where_it_is_learned_from():
    frame = rows_of(hit_ratio=np.where(np.arange(2_000) == 3, 40.0, 0.4))
    assert validate_rows(frame).warnings == ()
    frame.attrs["feature_columns"] = ("hit_ratio",)
    assert validate_rows(frame).warnings == ("hit_ratio in 0..1: not so in 1 row (id 103 has 40)",)


NEEDED = [
    (TrainConfig(cache_bytes=10**6), "size_bytes"),
    (TrainConfig(cache_weights={"load_time_ms": 1.0}), "load_time_ms"),
    (CurveConfig(unit="bytes"), "size_bytes"),
    (CurveConfig(measure="load_time"), "load_time_ms"),
]


@pytest.mark.parametrize(("config", "column"), NEEDED)
def test_values_that_the_goal_needs_must_be_known(config, column):
    frame = rows_of()
    assert validate_rows(frame, config).passed
    frame[column] = frame[column].where(np.arange(2_000) % 10 > 0)
    frame["cache_key"] = pd.Categorical((np.arange(2_000) % 1_000).astype(str))
    assert f"{column} is unknown for at most 5%" in broken(validate_rows(frame, config), "warning")
    frame[column] = frame[column].where(np.arange(2_000) % 10 > 5)
    assert broken(validate_rows(frame, config), "error") == [f"{column} is unknown for at most 50%"]
    assert validate_rows(frame, TrainConfig()).passed


def test_a_size_that_is_known_of_the_object_before_is_no_unknown_one():
    frame = rows_of()
    frame.loc[50:, "size_bytes"] = pd.NA  # each of the 50 keys had one
    report = validate_rows(frame, TrainConfig(cache_bytes=1_000))
    assert report.passed
    assert report.warnings == ()


def test_drift_from_the_data_of_a_model_is_a_warning_with_its_feature():
    frame = rows_of()
    reference = Reference("m version 1", profile_of(frame, frame.attrs["feature_columns"]))
    report = validate_rows(frame, reference=reference)
    assert report.warnings == ()
    assert set(report.psi.values()) == {0.0}
    moved = frame.assign(load_time_ms=frame["load_time_ms"] * 1.5)
    report = validate_rows(moved, reference=reference)
    assert broken(report, "warning") == ["drift of load_time_ms: PSI <= 0.25"]
    assert report.passed
    assert {name for name, value in report.psi.items() if value} == {"load_time_ms"}


def test_the_outcome_is_json():
    report = validate_rows(changed("load_time_ms", [1], [np.inf]))
    found = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert (found["checked"], found["failed"], found["passed"]) == (2_000, 1, True)
    assert {one["name"]: one["first_failing_ids"] for one in found["expectations"] if one["failing_rows"]} == {
        "load_time_ms >= 0 and finite": [101]
    }


def test_the_same_key_in_two_caches_is_two_objects():
    names = pd.Categorical(np.where(np.arange(2_000) < 1_000, "a", "b"))
    keys = pd.Categorical((np.arange(2_000) % 1_000).astype(str))
    report = validate_rows(rows_of(cache_name=names, cache_key=keys))
    assert broken(report, "error") == ["some key is asked for twice"]


def test_validation_writes_and_shows_nothing(tmp_path: Path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    validate_rows(rows_of())
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_million_rows_that_all_fail_are_told():
    report = validate_rows(rows_of(1_000_000, load_time_ms=-1.0))
    failed = next(check for check in report.checks if not check.passed)
    assert failed.failing.size == report.invalid.size == 1_000_000
    assert [row for row, _ in failed.first_failing] == [100, 101, 102, 103, 104]
