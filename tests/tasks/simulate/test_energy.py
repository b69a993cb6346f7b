"""The hours of the energy system are plausible: they balance, follow day, week and weather, and repeat exactly."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachesim.traffic.energy import FIRST_DAY, N_BRANCHES, N_MUNICIPALITIES, N_PRICE_AREAS, SPAN_DAYS
from tasks.simulate.energy_hours import AREAS, BRANCHES, LINES, SHAPES, EnergyHours, energy_hours

WIND, SOLAR = 0, 1


@pytest.fixture(scope="module")
def month() -> EnergyHours:
    return energy_hours(30, 0)


def test_there_is_what_the_simulated_traffic_asks_for(month):
    assert len(AREAS) == N_PRICE_AREAS
    assert len(BRANCHES) == N_BRANCHES
    assert month.production_mwh.shape == (N_MUNICIPALITIES, 720, 3)
    assert month.consumption_mwh.shape == (N_MUNICIPALITIES, 720, N_BRANCHES)
    assert month.hour[0] == 24 * (FIRST_DAY + SPAN_DAYS - 30)
    assert month.hour[-1] == 24 * (FIRST_DAY + SPAN_DAYS) - 1
    assert np.all(np.diff(month.hour) == 1)


@settings(max_examples=20)
@given(days=st.integers(1, 12), seed=st.integers(0, 2**31 - 1))
def test_what_is_produced_is_consumed_in_each_hour_and_flows_balance_each_area(days, seed):
    hours = energy_hours(days, seed)
    assert hours.production_mwh.min() >= 0
    assert hours.consumption_mwh.min() > 0
    surplus_mwh = hours.production_mwh.sum(axis=2) - hours.consumption_mwh.sum(axis=2)
    assert surplus_mwh.sum(axis=0) == pytest.approx(0, abs=1e-6)
    for number, (code, _, _) in enumerate(AREAS):
        sent = sum(
            ((begin == code) - (end == code)) * flow for (begin, end), flow in zip(LINES, hours.flow_mwh, strict=True)
        )
        assert sent == pytest.approx(surplus_mwh[hours.area == number].sum(axis=0), abs=1e-6)


def test_the_sun_shines_by_day_and_longer_in_summer():
    hours = energy_hours(365, 0)
    solar_mwh = hours.production_mwh[:, :, SOLAR].sum(axis=0).reshape(365, 24)
    assert np.all(solar_mwh[:, :2] == 0)
    assert np.all(solar_mwh[:, 22:] == 0)
    day_of_year = (hours.hour[::24] // 24 - 20_454) % 365  # day 20,454 is 2026-01-01
    lit = np.count_nonzero(solar_mwh, axis=1)
    assert lit[day_of_year == 171] >= 16
    assert lit[day_of_year == 354] <= 9


def test_wind_changes_over_hours_not_at_once(month):
    wind_mwh = month.production_mwh[:, :, WIND].sum(axis=0)
    assert np.corrcoef(wind_mwh[1:], wind_mwh[:-1])[0, 1] > 0.9
    assert abs(np.corrcoef(wind_mwh[96:], wind_mwh[:-96])[0, 1]) < 0.7
    assert wind_mwh.max() > 3 * wind_mwh.min()


def test_offices_rest_at_the_weekend_and_households_peak_in_the_evening(month):
    kinds = np.array([shape for _, shape, _ in BRANCHES])
    weekend = (month.hour // 24 + 3) % 7 >= 5

    def mean_mwh(kind: str, chosen: np.ndarray) -> float:
        return float(month.consumption_mwh[:, chosen][:, :, kinds == kind].mean())

    assert mean_mwh("office", weekend) < 0.6 * mean_mwh("office", ~weekend)
    assert mean_mwh("home", weekend) > mean_mwh("home", ~weekend)
    assert mean_mwh("home", month.hour % 24 == 18) > 2 * mean_mwh("home", month.hour % 24 == 3)
    assert all(len(shape) == 24 for shape, _ in SHAPES.values())


def test_the_same_seed_gives_the_same_hours_and_another_does_not(month):
    again, other = energy_hours(30, 0), energy_hours(30, 1)
    assert all(np.array_equal(getattr(month, f.name), getattr(again, f.name)) for f in fields(month))
    assert not np.array_equal(month.production_mwh, other.production_mwh)
