"""The synthetic traffic repeats exactly, and asks of a cache what real traffic asks."""

import hashlib
from collections import OrderedDict
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachesim.traffic.energy import (
    DAY_S,
    ENDPOINTS,
    FIRST_DAY,
    GENERATOR_VERSION,
    N_BRANCHES,
    N_MUNICIPALITIES,
    N_PRICE_AREAS,
    NONE,
    SPAN_DAYS,
    EnergyTraffic,
    energy_traffic,
)
from schemas.errors import ConfigError

KEY_COLUMNS = ("endpoint", "price_area", "municipality", "branch", "day", "hour")


@pytest.fixture(scope="module")
def traffic() -> EnergyTraffic:
    return energy_traffic(100_000, 0)


@pytest.fixture(scope="module")
def keys(traffic: EnergyTraffic) -> np.ndarray:
    return key_codes(traffic)


def key_codes(traffic: EnergyTraffic) -> np.ndarray:
    asked = np.stack([getattr(traffic, name) for name in KEY_COLUMNS], axis=1)
    return np.unique(asked, axis=0, return_inverse=True)[1].ravel()


def same(one: EnergyTraffic, other: EnergyTraffic) -> bool:
    return all(np.array_equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))


def lru_hit_ratio(keys: np.ndarray, capacity: int) -> float:
    cache: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for key in keys.tolist():
        hits += key in cache
        cache[key] = None
        cache.move_to_end(key)
        if len(cache) > capacity:
            cache.popitem(last=False)
    return hits / keys.size


def belady_hit_ratio(keys: np.ndarray, capacity: int) -> float:
    """Evict what is asked for last: scan the residents, so keep `keys` and `capacity` small."""
    following = np.full(keys.size, keys.size)
    seen: dict[int, int] = {}
    for request in range(keys.size - 1, -1, -1):
        following[request] = seen.get(int(keys[request]), keys.size)
        seen[int(keys[request])] = request
    cache: dict[int, int] = {}
    hits = 0
    for key, next_request in zip(keys.tolist(), following.tolist(), strict=True):
        hits += key in cache
        cache[key] = next_request
        if len(cache) > capacity:
            del cache[max(cache, key=cache.__getitem__)]
    return hits / keys.size


def test_the_default_traffic_is_golden(traffic):
    """Benchmarks and guides quote it: what is asked for, and when, may change only with GENERATOR_VERSION."""
    asked = np.stack([getattr(traffic, name) for name in ("timestamp_us", *KEY_COLUMNS)]).astype("<i8")
    digest = hashlib.sha256(asked.tobytes()).hexdigest()
    assert (GENERATOR_VERSION, digest[:16]) == (1, "53da8160e1dacbfa")


def test_the_same_seed_repeats_the_traffic_and_another_does_not(traffic):
    assert same(traffic, energy_traffic(100_000, 0))
    assert not same(traffic, energy_traffic(100_000, 1))


@settings(max_examples=30, deadline=None)
@given(requests=st.integers(1, 3_000), seed=st.integers(0, 2**40))
def test_every_request_is_valid(requests, seed):
    traffic = energy_traffic(requests, seed)
    time_us = traffic.timestamp_us
    assert time_us.size == requests
    assert np.all(np.diff(time_us) >= 0)
    assert time_us[0] >= FIRST_DAY * DAY_S * 1_000_000
    assert time_us[-1] < (FIRST_DAY + SPAN_DAYS) * DAY_S * 1_000_000
    assert traffic.size_bytes.min() >= 1
    assert np.all((traffic.load_time_ms > 0) & np.isfinite(traffic.load_time_ms))
    assert traffic.origin_version.min() >= 0
    limits = {"price_area": N_PRICE_AREAS, "municipality": N_MUNICIPALITIES, "branch": N_BRANCHES, "hour": 24}
    for name, limit in limits.items():
        assert getattr(traffic, name).min() >= NONE
        assert getattr(traffic, name).max() < limit
    for code, endpoint in enumerate(ENDPOINTS):
        of_it = traffic.endpoint == code
        for name in ("price_area", "municipality", "branch"):
            assert np.all((getattr(traffic, name)[of_it] != NONE) == (name in endpoint.parameters))


def test_it_is_interesting_for_a_cache(keys):
    distinct = np.unique(keys).size
    assert 0.15 <= distinct / keys.size <= 0.3
    assert 0.2 <= lru_hit_ratio(keys, distinct // 100) <= 0.6
    span = keys[50_000:70_000]
    capacity = np.unique(span).size // 100
    assert belady_hit_ratio(span, capacity) > lru_hit_ratio(span, capacity) + 0.1


def test_windows_move_on_so_that_what_is_hot_today_is_cold_a_week_later(traffic):
    day_of_request = traffic.timestamp_us // (DAY_S * 1_000_000)
    daily = traffic.endpoint == [endpoint.name for endpoint in ENDPOINTS].index("production_municipality")
    asked_on = [np.mean(traffic.day[daily & (day_of_request == FIRST_DAY + d)] == FIRST_DAY) for d in range(SPAN_DAYS)]
    assert asked_on[0] == 0  # settled data come out the next day
    assert asked_on[1] > 4 * asked_on[8]


def test_the_night_is_quieter_than_the_day(traffic):
    hour = traffic.timestamp_us // 3_600_000_000 % 24
    assert np.sum(hour == 9) > 3 * np.sum(hour == 3)


def test_clients_walk_whole_lists(traffic):
    """Somewhere a scan asks for nearly all municipalities within two minutes; ordinary traffic never does."""
    minute = traffic.timestamp_us // 120_000_000
    found = max(np.unique(traffic.municipality[minute == m]).size for m in np.unique(minute)[::5])
    assert found > 0.9 * N_MUNICIPALITIES


def test_content_changes_and_never_goes_back(traffic, keys):
    order = np.lexsort((np.arange(keys.size), keys))
    same_key = keys[order][1:] == keys[order][:-1]
    steps = np.diff(traffic.origin_version[order])[same_key]
    assert steps.min() >= 0
    assert steps.max() > 0


def test_an_object_keeps_its_size_while_its_content_does(traffic, keys):
    order = np.lexsort((np.arange(keys.size), keys))
    closed = traffic.day[order] < FIRST_DAY - 10  # corrected long ago
    same_key = (keys[order][1:] == keys[order][:-1]) & closed[1:]
    assert np.all(np.diff(traffic.size_bytes[order])[same_key] == 0)
    assert np.unique(traffic.size_bytes[order][closed]).size > 1_000


def test_endpoints_differ_in_size_and_load_time(traffic):
    medians = [np.median(traffic.load_time_ms[traffic.endpoint == code]) for code in range(len(ENDPOINTS))]
    assert max(medians) > 5 * min(medians)


@pytest.mark.parametrize(("requests", "seed"), [(0, 0), (10, -1)])
def test_what_cannot_be_generated_is_refused(requests, seed):
    with pytest.raises(ConfigError, match=f"got {requests} and {seed}"):
        energy_traffic(requests, seed)
