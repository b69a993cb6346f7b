"""Each profile is what it says, and what all have in common holds for all."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachesim.traffic.energy import DAY_S, FIRST_DAY
from cachesim.traffic.profiles import (
    CROWD_OBJECTS,
    CROWD_SHARE,
    CROWD_WINDOW,
    PROFILES,
    Plan,
    ProfileTraffic,
    profile_traffic,
)
from schemas.errors import ConfigError

START_US = FIRST_DAY * DAY_S * 1_000_000
DAY = Plan(requests=100_000, duration_s=86_400.0, objects=2_000)
names = st.sampled_from(list(PROFILES))
plans = st.builds(
    Plan,
    requests=st.integers(1, 2_000),
    duration_s=st.floats(0.001, 1e7),
    objects=st.integers(1, 500),
    clients=st.none() | st.integers(1, 50),
    exponent=st.floats(0, 3),
    seed=st.integers(0, 2**40),
)


def same(one: ProfileTraffic, other: ProfileTraffic) -> bool:
    return all(np.array_equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))


def stale_share(traffic: ProfileTraffic) -> float:
    """Share of the repeated requests whose content has changed since the request before."""
    order = np.argsort(traffic.object, kind="stable")
    again = np.diff(traffic.object[order]) == 0
    return float(np.mean(np.diff(traffic.origin_version[order])[again] > 0))


def popular(objects: np.ndarray, how_many: int = 20) -> set[int]:
    return set(np.argsort(np.bincount(objects, minlength=DAY.objects))[-how_many:].tolist())


@settings(max_examples=60)
@given(names, plans)
def test_every_request_is_valid_whatever_the_profile(name, plan):
    traffic = profile_traffic(name, plan)
    assert all(getattr(traffic, field.name).shape == (plan.requests,) for field in fields(traffic))
    assert np.all(np.diff(traffic.timestamp_us) >= 0)
    assert traffic.timestamp_us[0] >= START_US
    assert traffic.timestamp_us[-1] <= START_US + plan.duration_s * 1e6
    assert traffic.object.min() >= 0
    assert traffic.object.max() < plan.objects
    assert traffic.size_bytes.min() >= 1
    assert np.all((traffic.load_time_ms > 0) & np.isfinite(traffic.load_time_ms))


@settings(max_examples=30)
@given(names, plans)
def test_content_never_goes_back_and_a_size_changes_only_with_it(name, plan):
    traffic = profile_traffic(name, plan)
    order = np.argsort(traffic.object, kind="stable")
    again = np.diff(traffic.object[order]) == 0
    newer = np.diff(traffic.origin_version[order])[again]
    resized = np.diff(traffic.size_bytes[order])[again] != 0
    assert np.all(newer >= 0)
    assert not np.any(resized & (newer == 0))


@settings(max_examples=20)
@given(names, plans)
def test_the_same_plan_gives_the_same_traffic(name, plan):
    assert same(profile_traffic(name, plan), profile_traffic(name, plan))


@pytest.mark.parametrize("name", PROFILES)
def test_another_seed_gives_other_traffic(name):
    small = replace(DAY, requests=1_000)
    assert not same(profile_traffic(name, small), profile_traffic(name, replace(small, seed=1)))


@pytest.mark.parametrize("exponent", [0.6, 1.0, 1.4])
def test_the_frequencies_of_zipf_follow_the_exponent(exponent):
    objects = profile_traffic("zipf", replace(DAY, requests=400_000, exponent=exponent)).object
    frequency = np.bincount(objects, minlength=50)[:50]
    slope = np.polyfit(np.log(np.arange(1, 51)), np.log(frequency), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.03)


@pytest.mark.parametrize("clients", [None, 20])
def test_uniform_asks_for_each_object_as_often(clients):
    """Chi-square of 2,000 objects: mean 1,999, standard deviation 63; a client that asks again spreads it wider."""
    counts = np.bincount(profile_traffic("uniform", replace(DAY, clients=clients)).object, minlength=DAY.objects)
    expected = DAY.requests / DAY.objects
    chi_square = np.sum((counts - expected) ** 2 / expected)
    assert chi_square < 1_999 + 5 * 63 if clients is None else chi_square < 2 * 1_999


def test_a_flash_crowd_asks_in_its_window_for_what_nobody_asked_for_before():
    traffic = profile_traffic("flash-crowd", DAY)
    share = (traffic.timestamp_us - START_US) / 1e6 / DAY.duration_s
    in_window = (share >= CROWD_WINDOW[0]) & (share < CROWD_WINDOW[1])
    of_crowd = traffic.object >= DAY.objects - CROWD_OBJECTS
    background = (1 - CROWD_SHARE) * (CROWD_WINDOW[1] - CROWD_WINDOW[0])
    assert np.mean(in_window) == pytest.approx(CROWD_SHARE + background, abs=0.01)
    assert np.mean(of_crowd[in_window]) == pytest.approx(CROWD_SHARE / (CROWD_SHARE + background), abs=0.01)
    assert np.mean(of_crowd[~in_window]) < 0.005


def test_a_scan_asks_for_each_object_in_order_and_once_a_round():
    objects = profile_traffic("scan", replace(DAY, requests=5_000)).object
    assert np.array_equal(objects, np.arange(5_000) % DAY.objects)


def test_each_client_of_a_scan_walks_from_a_place_of_its_own():
    objects = profile_traffic("scan", replace(DAY, requests=2_000, clients=4)).object
    places = {step: np.flatnonzero(objects == step)[0] for step in (0, 500, 1_000, 1_500)}
    assert max(places.values()) < 40
    assert not np.array_equal(objects, np.arange(2_000))
    assert np.bincount(objects, minlength=DAY.objects).max() <= 2  # about 500 steps of each, from 0, 500, 1,000, 1,500


def test_the_popular_objects_drift_and_those_of_zipf_stay():
    quarter = DAY.requests // 4
    drifting, staying = (profile_traffic(name, DAY).object for name in ("drift", "zipf"))
    assert popular(drifting[:quarter]) & popular(drifting[-quarter:]) == set()
    assert len(popular(staying[:quarter]) & popular(staying[-quarter:])) >= 15


def test_what_drifts_becomes_popular_at_once_and_cools_down():
    objects = profile_traffic("drift", DAY).object
    asked_at = np.flatnonzero(objects == DAY.objects // 4)  # the newest one in the middle of the time
    assert np.mean(asked_at < DAY.requests // 2) < 0.1
    later = asked_at[asked_at >= DAY.requests // 2] - DAY.requests // 2
    assert np.sum(later < 1_000) > np.sum((later >= 1_000) & (later < 2_000))


def test_the_rate_of_diurnal_follows_the_day():
    traffic = profile_traffic("diurnal", replace(DAY, duration_s=7 * 86_400.0))
    hour = (traffic.timestamp_us - START_US) // 3_600_000_000
    by_hour, by_day = np.bincount(hour % 24, minlength=24), np.bincount(hour // 24, minlength=7)
    assert by_hour[9] > 8 * by_hour[3]
    assert by_day[:5].min() > 2 * by_day[5:].max()


def test_a_diurnal_part_of_a_day_keeps_the_rates_of_its_hours():
    hour = (profile_traffic("diurnal", replace(DAY, duration_s=10 * 3_600.0)).timestamp_us - START_US) // 3_600_000_000
    assert np.bincount(hour).argmax() == 9
    assert hour.max() == 9


def test_a_write_heavy_content_is_stale_at_every_second_repeat_and_others_seldom():
    assert 0.4 < stale_share(profile_traffic("write-heavy", DAY)) < 0.6
    for name in set(PROFILES) - {"write-heavy"}:
        assert stale_share(profile_traffic(name, DAY)) < 0.05


@pytest.mark.parametrize("name", ["zipf", "uniform", "drift"])
def test_clients_ask_again_for_what_they_asked_before(name):
    """Within the last 100 requests, 20 clients with 5 each, a repeat is far more likely than without clients."""

    def repeats(objects: np.ndarray) -> float:
        last: dict[int, int] = {}
        soon = 0
        for request, key in enumerate(objects[:20_000].tolist()):
            soon += request - last.get(key, -(10**9)) <= 100
            last[key] = request
        return soon / 20_000

    alone = repeats(profile_traffic(name, replace(DAY, exponent=0.7)).object)
    together = repeats(profile_traffic(name, replace(DAY, exponent=0.7, clients=20)).object)
    assert together > alone + 0.1


@pytest.mark.parametrize(
    "wrong", [{"requests": 0}, {"objects": 0}, {"clients": 0}, {"duration_s": 0.0}, {"exponent": -1.0}, {"seed": -1}]
)
def test_a_plan_that_cannot_be_made_is_refused(wrong):
    with pytest.raises(ConfigError, match="must be >="):
        replace(DAY, **wrong)
