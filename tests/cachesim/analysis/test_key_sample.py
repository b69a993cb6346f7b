"""A sample of the keys: the same one in SQL, whole histories of keys, and hit ratios near those of the whole."""

import sqlite3
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.analysis.key_sample import (
    MODULUS,
    adjusted_hit_ratio,
    hashed_codes,
    mix,
    positions,
    sample_keys,
    scaled,
    sql_condition,
    threshold,
)
from cachesim.capacity import Capacity
from cachesim.replay import replay
from schemas.errors import ConfigError, TraceError
from schemas.trace import Trace

Build = Callable[..., Trace]

hashes = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=50)
rates = st.floats(1e-9, 1)
salts = st.integers(0, 1_000)


@given(hashes=hashes, rate=rates, salt=salts)
def test_sql_chooses_the_same_keys(hashes: list[int], rate: float, salt: int) -> None:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE t (key_hash BIGINT)")
        connection.executemany("INSERT INTO t VALUES (?)", [(value,) for value in hashes])
        rows = connection.execute(f"SELECT {sql_condition(rate, salt)} FROM t ORDER BY rowid").fetchall()
    connection.close()
    taken = positions(np.array(hashes), salt) < threshold(rate)
    assert [bool(row[0]) for row in rows] == taken.tolist()


@given(hashes=hashes, low=rates, high=rates, salt=salts)
def test_a_sample_at_a_lower_rate_is_part_of_that_at_a_higher_one(
    hashes: list[int], low: float, high: float, salt: int
) -> None:
    low, high = min(low, high), max(low, high)
    position = positions(np.array(hashes), salt)
    assert not (position < threshold(low))[position >= threshold(high)].any()
    assert (position < threshold(1)).all()


@given(keys=st.lists(st.integers(0, 30), min_size=1, max_size=80), rate=st.floats(0.2, 1), salt=salts)
def test_a_sample_holds_all_requests_of_its_keys_with_their_columns(
    make_trace: Build, keys: list[int], rate: float, salt: int
) -> None:
    index = list(range(len(keys)))
    trace = make_trace(keys, [1 + key for key in keys], index, {"index": index})
    taken = [i for i, key in enumerate(keys) if positions(hashed_codes(31, salt))[key] < threshold(rate)]
    if not taken:
        with pytest.raises(TraceError, match="take a higher rate"):
            sample_keys(trace, rate, salt)
        return
    part = sample_keys(trace, rate, salt)
    assert part.columns[:, 0].tolist() == taken
    assert part.load_time_ms.tolist() == taken
    assert part.timestamp_s.tolist() == taken
    assert part.size_bytes.tolist() == [1 + keys[i] for i in taken]
    distinct = sorted({keys[i] for i in taken})
    assert [distinct[code] for code in part.key] == [keys[i] for i in taken]
    assert (part.n_keys, part.endpoint_names) == (len(distinct), trace.endpoint_names)


def test_the_hashes_that_are_given_choose(make_trace: Build) -> None:
    trace = make_trace([0, 1, 2, 1])
    key_hash = np.array([MODULUS // 2, -MODULUS, -1])  # the positions MODULUS / 2, 0 and MODULUS - 1
    assert sample_keys(trace, 0.5, key_hash=key_hash).timestamp_s.tolist() == [1, 3]
    assert sample_keys(trace, 0.6, key_hash=key_hash).timestamp_s.tolist() == [0, 1, 3]


def test_a_sample_at_rate_1_is_the_trace(make_trace: Build) -> None:
    trace = make_trace([2, 0, 1, 1])
    assert sample_keys(trace, 1).sha256 == trace.sha256


@pytest.mark.parametrize("salt", [0, 1, 77])
def test_codes_are_taken_at_the_rate_and_independently_of_another_salt(salt: int) -> None:
    """100,000 coins: four standard deviations are .006."""
    position = positions(hashed_codes(100_000, salt))
    taken = position < threshold(0.3)
    assert taken.mean() == pytest.approx(0.3, abs=0.006)
    other = positions(hashed_codes(100_000, salt + 1)) < threshold(0.3)
    assert (taken & other).mean() == pytest.approx(0.3 * 0.3, abs=0.006)


def test_the_threshold_is_the_nearest_one_that_takes_something() -> None:
    assert [threshold(rate) for rate in (1e-12, 0.3, 0.5, 1)] == [1, 5_033_165, MODULUS // 2, MODULUS]


def test_the_mix_is_that_of_splitmix64() -> None:
    """The generator's first output from seed 0 is the mix of its increment."""
    increment = np.array([0x9E3779B97F4A7C15], np.uint64).view(np.int64)
    assert int(mix(increment).view(np.uint64)[0]) == 0xE220A8397B1DCDAF


def test_a_capacity_is_scaled_with_the_rate_and_stays_usable() -> None:
    assert scaled(Capacity(1_000, "bytes"), 0.0626) == Capacity(63, "bytes")
    assert scaled(Capacity(3, "objects"), 0.01) == Capacity(1, "objects")
    assert scaled(Capacity(7, "objects"), 1) == Capacity(7, "objects")


def test_the_adjusted_ratio_counts_misses_per_expected_request() -> None:
    assert adjusted_hit_ratio(50, 0.25, 1_000) == 0.8
    assert adjusted_hit_ratio(300, 0.25, 1_000) == 0.0
    assert adjusted_hit_ratio(0, 0.25, 0) is None


@pytest.mark.parametrize("policy", ["lru", "s3-fifo"])
@pytest.mark.parametrize("name", ["orm_busy", "w106_block"])
def test_a_quarter_of_the_keys_of_a_real_trace_tells_its_hit_ratio(
    shared_trace: Callable[[str], Trace], name: str, policy: str
) -> None:
    """At 10 % of the keys within .01 for each of four salts; measured: .007 at most over eight."""
    trace = shared_trace(name)
    capacity = Capacity.resolve(trace, fraction=0.1)
    whole = replay(trace, policy, capacity).hit.mean()
    for salt in range(4):
        hit = replay(sample_keys(trace, 0.25, salt), policy, scaled(capacity, 0.25)).hit
        told = adjusted_hit_ratio(int((~hit).sum()), 0.25, len(trace))
        assert told == pytest.approx(whole, abs=0.01)


@pytest.mark.parametrize("rate", [0, -0.1, 1.01, float("nan")])
def test_a_rate_outside_its_range_is_refused(make_trace: Build, rate: float) -> None:
    for refuses in (
        lambda: threshold(rate),
        lambda: scaled(Capacity(5, "objects"), rate),
        lambda: sample_keys(make_trace([0]), rate),
    ):
        with pytest.raises(ConfigError, match="sampling rate must lie in"):
            refuses()


def test_hashes_that_do_not_fit_the_keys_are_refused(make_trace: Build) -> None:
    with pytest.raises(ConfigError, match="one value for each of 2 keys, got shape"):
        sample_keys(make_trace([0, 1, 1]), 0.5, key_hash=np.zeros(3, np.int64))
