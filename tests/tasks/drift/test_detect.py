"""The checks for drift: which windows they take, and what fewer hits come to."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.options.monitor import LARGEST_WINDOW, SMALLEST_WINDOW, DriftConfig
from schemas.tables import microseconds
from tasks.drift.detect import HIT_RATIO, RECORDED, REPLAYED, cut, hits_family, recorded_hit_ratio
from tasks.drift.windows import Windows

CONFIG = DriftConfig(false_alarm_rate=0.1)  # 19 windows
PROMOTED = datetime(2026, 3, 2, tzinfo=UTC)


@given(st.integers(0, 10**7), st.integers(0, 10**6), st.sampled_from([0.5, 0.1, 0.01]))
def test_a_check_has_the_windows_that_its_chance_takes_or_says_what_is_missing(read, new, rate):
    found = cut(range(read), read + new, DriftConfig(false_alarm_rate=rate))
    needed = round(2 / rate) - 1
    if isinstance(found, str):
        assert read < needed * SMALLEST_WINDOW or new < min(LARGEST_WINDOW, max(SMALLEST_WINDOW, read // needed))
    else:
        assert SMALLEST_WINDOW <= found.size <= LARGEST_WINDOW
        assert len(found.starts) - 1 >= needed
        assert found.starts[-1] >= read


def test_a_window_that_was_asked_for_is_taken():
    found = cut(range(10_000), 11_000, DriftConfig(false_alarm_rate=0.1, window=500))
    assert isinstance(found, Windows)
    assert (found.size, len(found.starts), len(found.between)) == (500, 21, 1)
    few = cut(range(9_000), 10_000, DriftConfig(false_alarm_rate=0.1, window=500))
    assert few == "9,000 requests to compare with are too few: a false_alarm_rate of 0.1 takes 19 windows of 500"
    assert cut(range(10_000), 10_499, DriftConfig(false_alarm_rate=0.1, window=500)) == (
        "499 new requests are too few: a window has 500"
    )


@pytest.mark.parametrize(("newest", "drifted"), [(0.2, (HIT_RATIO,)), (0.5, ()), (0.9, ())])
def test_fewer_hits_are_drift_and_more_are_not(newest, drifted):
    rng = np.random.default_rng(0)
    hit = rng.random(2_000) < np.where(np.arange(2_000) < 1_900, 0.5, newest)
    windows = cut(range(1_900), 2_000, CONFIG)
    family = hits_family(hit, windows, CONFIG, None)
    assert (family.drifted, family.told_by) == (drifted, REPLAYED)
    live = hits_family(hit, windows, CONFIG, 0.1)  # what the live cache did counts
    assert (live.drifted, live.told_by) == ((HIT_RATIO,), RECORDED)
    (statistic,) = live.statistics
    assert statistic.values[-1] == 0.1 < statistic.threshold


def rows_of(*was_hit: bool | None, first_us: int = microseconds(PROMOTED)) -> pd.DataFrame:
    return pd.DataFrame(
        {"timestamp": first_us + np.arange(len(was_hit)), "was_hit": pd.array([*was_hit], dtype="boolean")}
    )


def test_hits_are_recorded_where_all_are_known_and_the_champions():
    assert recorded_hit_ratio(rows_of(True, False, True, True), PROMOTED) == 0.75
    assert recorded_hit_ratio(rows_of(True, None), PROMOTED) is None
    assert recorded_hit_ratio(rows_of(True, True, first_us=microseconds(PROMOTED) - 1), PROMOTED) is None
    assert recorded_hit_ratio(rows_of(True, True), None) is None
    assert recorded_hit_ratio(rows_of(True, True)[["timestamp"]], PROMOTED) is None
