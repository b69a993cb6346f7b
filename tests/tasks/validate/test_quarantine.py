"""Rows that are left out are in quarantine, once for each reason, as long as the reason holds."""

import json
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.database.connection import writing
from schemas.tables import cache_metrics_quarantine
from tasks.validate.quarantine import Quarantined, quarantine

REASONS = ("size_bytes in 1..2^53", "wind is finite")
Faults = dict[str, Iterable[int]]
Put = Callable[[Faults], Quarantined]
faults_of_rows = st.fixed_dictionaries(dict.fromkeys(REASONS, st.sets(st.integers(1, 30), max_size=12)))


def rows_of(count: int = 30) -> pd.DataFrame:
    number = np.arange(count)
    return pd.DataFrame(
        {
            "id": number + 1,
            "timestamp": number,
            "cache_name": pd.Categorical(["ü"] * count),
            "size_bytes": pd.array([None, 2**53] * (count // 2), "Int64"),
            "wind": np.where(number % 3, np.inf, np.nan),
        }
    )


@pytest.fixture
def put(engine: sa.Engine) -> Put:
    """Judge the rows 1 to 30; the ids of those that break each expectation are given."""
    return lambda faults: quarantine(
        engine, rows_of(), {name: np.array([*ids], np.int64) for name, ids in faults.items()}
    )


@pytest.fixture
def entries(engine: sa.Engine) -> Callable[[], list[sa.Row]]:
    def read() -> list[sa.Row]:
        with engine.connect() as connection:
            return connection.execute(sa.select(cache_metrics_quarantine).order_by("row_id", "reason")).all()

    return read


def pairs(entries: list[sa.Row]) -> set[tuple[int, str]]:
    assert len({(entry.row_id, entry.reason) for entry in entries}) == len(entries)
    return {(entry.row_id, entry.reason) for entry in entries}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=faults_of_rows, second=faults_of_rows)
def test_the_quarantine_holds_what_is_wrong_now_and_nothing_else(put, entries, first, second):
    for faults in (first, second):
        put(faults)
        assert pairs(entries()) == {(row_id, reason) for reason, ids in faults.items() for row_id in ids}
        again = put(faults)
        assert again == Quarantined(rows=len(set().union(*faults.values())), new=0, mended=0)


def test_a_row_is_counted_once_whatever_its_reasons(put):
    assert put({REASONS[0]: [1, 2], REASONS[1]: [2, 3]}) == Quarantined(rows=3, new=3, mended=0)
    assert put({REASONS[0]: [1], REASONS[1]: [2]}) == Quarantined(rows=2, new=0, mended=1)
    assert put({REASONS[0]: [], REASONS[1]: []}) == Quarantined(rows=0, new=0, mended=2)


def test_what_was_not_judged_stays(put, entries, engine):
    put({REASONS[0]: [1, 20], REASONS[1]: [1, 20]})
    ten = rows_of().iloc[:10]
    assert quarantine(engine, ten, {REASONS[0]: np.array([], np.int64)}) == Quarantined(rows=0, new=0, mended=1)
    assert pairs(entries()) == {(1, REASONS[1]), (20, REASONS[0]), (20, REASONS[1])}
    quarantine(engine, rows_of(), {name: np.array([], np.int64) for name in REASONS}, "another table")
    assert len(entries()) == 3


def test_an_entry_tells_the_row_as_it_was_and_who_found_it(engine, entries):
    quarantine(engine, rows_of(), {REASONS[1]: np.array([1, 2])}, "cache_metrics", "a run")
    one, two = entries()
    assert (two.table_name, two.row_id, two.level, two.run_id) == ("cache_metrics", 2, "error", "a run")
    assert two.row_values == {"id": 2, "timestamp": 1, "cache_name": "ü", "size_bytes": 2**53, "wind": "inf"}
    assert (one.row_values["size_bytes"], one.row_values["wind"]) == (None, None)
    json.dumps(two.row_values, allow_nan=False)


def test_valid_rows_write_nothing_and_wait_for_no_lock(put, engine):
    with writing(engine):
        assert put({name: [] for name in REASONS}) == Quarantined(0, 0, 0)
