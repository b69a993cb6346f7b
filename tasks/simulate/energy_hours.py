"""Plausible hours of an energy system: wind, sun, thermal power, consumption by branch, exchange between areas.

A closed system of six price areas. Consumption follows people, hours of the day and the week; wind and clouds drift,
the sun follows the calendar; thermal plants make what wind and sun leave open, so production equals consumption in
each hour. What an area has too much of flows to its neighbours: the flows of least squares that balance each area.
"""

from dataclasses import dataclass

import numpy as np

from cachesim.traffic.energy import FIRST_DAY, N_MUNICIPALITIES, SPAN_DAYS
from schemas.trace import FloatArray, IntArray

ENERGY_VERSION = 1  # raise it whenever the same seed would give other hours
AREAS = (
    ("DK1", "Denmark West", 30),  # code, name, municipalities
    ("DK2", "Denmark East", 24),
    ("NO2", "Norway South", 10),
    ("SE3", "Sweden Middle", 14),
    ("SE4", "Sweden South", 10),
    ("DE", "Germany North", 10),
)
LINES = (("DK1", "DK2"), ("DK1", "NO2"), ("DK1", "SE3"), ("DK1", "DE"), ("DK2", "SE4"), ("DK2", "DE"), ("SE3", "SE4"))
SHAPES = {  # consumption by hour of the day, and what is left of it at the weekend
    "home": ([6, 5, 5, 5, 5, 6, 9, 11, 10, 8, 8, 9, 9, 9, 9, 10, 13, 17, 18, 17, 15, 13, 11, 8], 1.1),
    "office": ([3, 3, 3, 3, 3, 4, 6, 10, 13, 14, 14, 14, 13, 14, 14, 13, 10, 7, 5, 4, 4, 3, 3, 3], 0.4),
    "works": ([5, 5, 5, 5, 5, 7, 10, 12, 12, 12, 12, 11, 11, 12, 12, 11, 9, 8, 7, 7, 6, 6, 5, 5], 0.5),
    "shop": ([4, 4, 4, 4, 4, 5, 6, 8, 11, 13, 13, 13, 13, 13, 13, 13, 13, 12, 11, 9, 7, 5, 4, 4], 0.9),
    "evening": ([5, 4, 3, 3, 3, 4, 6, 7, 8, 9, 10, 12, 13, 12, 10, 9, 10, 13, 15, 16, 15, 13, 10, 7], 1.3),
    "always": ([10] * 24, 1.0),
}
BRANCHES = (  # as many as the traffic asks for: name, shape, mean consumption in kWh within an hour for each inhabitant
    ("Households", "home", 0.190),
    ("Agriculture, forestry and fishing", "always", 0.035),
    ("Mining and quarrying", "works", 0.006),
    ("Food, drinks and tobacco", "works", 0.040),
    ("Textiles, wood and paper", "works", 0.018),
    ("Chemicals and pharmaceuticals", "always", 0.038),
    ("Metals and machinery", "works", 0.030),
    ("Other manufacturing", "works", 0.022),
    ("Energy supply", "always", 0.016),
    ("Water and waste", "always", 0.013),
    ("Construction", "works", 0.009),
    ("Trade", "shop", 0.044),
    ("Transport", "shop", 0.026),
    ("Hotels and restaurants", "evening", 0.013),
    ("Information and communication", "always", 0.023),
    ("Finance and real estate", "office", 0.020),
    ("Public administration and education", "office", 0.026),
    ("Health and social work", "always", 0.018),
    ("Arts, leisure and other services", "evening", 0.013),
)
MEDIAN_INHABITANTS = 42_000
WIND_CAPACITY, SOLAR_CAPACITY = 1.2, 0.6  # of all turbines and panels, in mean consumptions
PLANT_EACH = 5  # municipalities for one thermal plant
MOST_RENEWABLE = 0.9  # of the consumption of an hour; what is above is switched off
LATITUDE = np.radians(56.0)
MEMORY_HOURS = 18  # within which weather forgets itself
DECIMALS = 3


@dataclass(frozen=True)
class EnergyHours:
    """Hours of the system.

    Attributes:
        hour: int64 (hours,), hours since 1970 UTC, each named by its beginning.
        area: int64 (municipalities,), index into `AREAS`.
        inhabitants: int64 (municipalities,).
        production_mwh: (municipalities, hours, 3), >= 0: wind, solar, thermal.
        consumption_mwh: (municipalities, hours, branches), > 0.
        flow_mwh: (lines, hours), from the first to the second area of each of `LINES`; below 0: the other way.
    """

    hour: IntArray
    area: IntArray
    inhabitants: IntArray
    production_mwh: FloatArray
    consumption_mwh: FloatArray
    flow_mwh: FloatArray


def energy_hours(days: int, seed: int) -> EnergyHours:
    """Return `days` (>= 1) days of hours up to the last one of the simulated traffic; the seed decides them."""
    rng = np.random.default_rng([ENERGY_VERSION, seed])
    hour = 24 * (FIRST_DAY + SPAN_DAYS - days) + np.arange(24 * days)
    area = np.repeat(np.arange(len(AREAS)), [municipalities for _, _, municipalities in AREAS])
    inhabitants = np.rint(MEDIAN_INHABITANTS * np.exp(0.6 * rng.standard_normal(N_MUNICIPALITIES))).astype(np.int64)
    consumption_mwh = _consumption_mwh(hour, inhabitants, rng)
    needed_mwh = consumption_mwh.sum(axis=(0, 2))
    production_mwh = _production_mwh(hour, area, inhabitants, needed_mwh, rng)
    surplus_mwh = production_mwh.sum(axis=2) - consumption_mwh.sum(axis=2)  # (municipalities, hours)
    by_area_mwh = np.stack([surplus_mwh[area == number].sum(axis=0) for number in range(len(AREAS))])
    flow_mwh = np.linalg.pinv(_incidence()) @ by_area_mwh
    return EnergyHours(hour, area, inhabitants, production_mwh, consumption_mwh, flow_mwh)


def _incidence() -> FloatArray:
    """(areas, lines): 1 where a line begins, -1 where it ends."""
    codes = [code for code, _, _ in AREAS]
    return np.array([[(begin == code) - (end == code) for begin, end in LINES] for code in codes], np.float64)


def _consumption_mwh(hour: IntArray, inhabitants: IntArray, rng: np.random.Generator) -> FloatArray:
    """(municipalities, hours, branches), rounded."""
    weekend = (hour // 24 + 3) % 7 >= 5  # day 0 of 1970 was a Thursday
    rows = []
    for _, shape, mean_kwh in BRANCHES:
        by_hour, at_weekend = np.array(SHAPES[shape][0], np.float64), SHAPES[shape][1]
        rows.append(mean_kwh / 1e3 * (by_hour / by_hour.mean())[hour % 24] * np.where(weekend, at_weekend, 1.0))
    season = 1.0 + 0.15 * np.cos(2 * np.pi * (hour / 24 - 15) / 365.25)  # most in the middle of January
    typical_mwh = np.stack(rows, axis=1) * season[:, None]  # (hours, branches), of one inhabitant
    mix = np.exp(0.5 * rng.standard_normal((inhabitants.size, 1, len(BRANCHES))))  # no two municipalities are alike
    noise = np.exp(0.05 * rng.standard_normal((inhabitants.size, hour.size, len(BRANCHES))))
    mwh: FloatArray = np.round(inhabitants[:, None, None] * mix * typical_mwh * noise, DECIMALS)
    return np.maximum(mwh, 10.0**-DECIMALS)


def _production_mwh(
    hour: IntArray, area: IntArray, inhabitants: IntArray, needed_mwh: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """(municipalities, hours, 3): wind, solar, thermal, rounded; each hour makes what it needs."""
    mean_mwh = needed_mwh.mean()
    wind = 1.0 / (1.0 + np.exp(-1.6 * (_weather(hour.size, rng) - 0.6)))  # (areas, hours), share of the capacity
    clear = 1.0 / (1.0 + np.exp(-1.2 * _weather(hour.size, rng)))
    wind_mwh = _spread(rng.pareto(2.0, area.size), WIND_CAPACITY * mean_mwh)[:, None] * wind[area]
    solar_mwh = _spread(rng.random(area.size), SOLAR_CAPACITY * mean_mwh)[:, None] * (_sun(hour) * clear)[area]
    share = np.minimum(1.0, MOST_RENEWABLE * needed_mwh / (wind_mwh + solar_mwh).sum(axis=0))
    renewable_mwh: FloatArray = np.round(np.stack([wind_mwh * share, solar_mwh * share], axis=2), DECIMALS)
    has_plant = np.arange(area.size) % PLANT_EACH == 0
    open_mwh = needed_mwh - renewable_mwh.sum(axis=(0, 2))
    thermal_mwh = np.round(_spread(has_plant * inhabitants, 1.0)[:, None] * open_mwh, DECIMALS)
    thermal_mwh[0] += open_mwh - thermal_mwh.sum(axis=0)  # what rounding left
    return np.concatenate([renewable_mwh, np.round(thermal_mwh, DECIMALS)[:, :, None]], axis=2)


def _spread(weight: FloatArray | IntArray, total: float) -> FloatArray:
    spread: FloatArray = weight * (total / weight.sum())
    return spread


def _weather(hours: int, rng: np.random.Generator) -> FloatArray:
    """(areas, hours), standard normal, alike in areas and in hours that are close."""
    kernel = np.exp(-np.arange(4 * MEMORY_HOURS) / MEMORY_HOURS)
    kernel /= np.sqrt(np.sum(kernel**2))
    noise = rng.standard_normal((1 + len(AREAS), hours + kernel.size - 1))
    common, *own = (np.convolve(row, kernel, mode="valid") for row in noise)
    weather: FloatArray = (common + np.stack(own)) / np.sqrt(2)
    return weather


def _sun(hour: IntArray) -> FloatArray:
    """(hours,), sine of the sun's height in the middle of the hour, 0 at night."""
    tilt = -np.radians(23.44) * np.cos(2 * np.pi * (hour / 24 % 365.25 + 10) / 365.25)
    noon_angle = 2 * np.pi * ((hour % 24 + 0.5) / 24 - 0.5)
    height = np.sin(LATITUDE) * np.sin(tilt) + np.cos(LATITUDE) * np.cos(tilt) * np.cos(noon_angle)
    above: FloatArray = np.maximum(height, 0.0)
    return above
