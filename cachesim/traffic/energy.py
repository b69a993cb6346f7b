"""Synthetic requests to an API of energy data, made to be hard for a cache in the ways that real traffic is.

Ten days of traffic. Each endpoint serves windows (a day, or an hour of it) of data by price area, municipality or
branch. Popularity is Zipf within an endpoint; the windows move on: new data are hot when they are published, and cool
as they age. Clients repeat what they have just asked for. Now and then one walks all municipalities of a day, or the
history of one. Windows that are not closed yet grow and change; closed ones are corrected a week later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ConfigError
from schemas.trace import FloatArray, IntArray, Trace

GENERATOR_VERSION = 1  # raise it whenever the same seed would give other traffic
SPAN_DAYS = 10
FIRST_DAY = 20_514  # days since 1970: Monday 2026-03-02
DAY_S = 86_400
HOUR_S = 3_600
HISTORY_DAYS = 400  # oldest window asked for, before the day of the request
CORRECTED_AFTER_DAYS = 7
SCAN_SHARE = 0.1  # of the requests
SCAN_STEPS = 98  # windows that one scan walks
SCAN_GAP_S = 0.5
REPEAT_SHARE = 0.25  # of the requests, which ask again for what was asked shortly before
REPEAT_WITHIN = 400.0  # mean distance, in requests
NONE = -1
N_PRICE_AREAS, N_MUNICIPALITIES, N_BRANCHES = 6, 98, 19
HOURLY_SHAPE = np.array([2, 1, 1, 1, 1, 2, 5, 9, 12, 13, 12, 11, 10, 12, 12, 11, 9, 7, 6, 6, 5, 4, 3, 2], np.float64)
WEEKEND_SHARE = 0.4  # of a working day's traffic


class Endpoint(NamedTuple):
    """What an endpoint serves: its share of traffic, parameters, age of the windows asked for, answers."""

    name: str
    weight: float
    parameters: tuple[str, ...]
    hourly: bool  # a window is an hour, else a day
    newest_days: int  # 0: today's window is the newest, 1: yesterday's, -1: tomorrow's
    cooling: float  # popularity of a window falls as (1 + age in windows)**-cooling
    answer_bytes: float
    load_ms: float
    updates_per_day: float  # while its window is open


ENDPOINTS = (
    Endpoint("prices", 0.22, ("price_area",), False, -1, 1.5, 9_000, 25, 2),
    Endpoint("production", 0.16, ("price_area",), True, 0, 1.3, 4_000, 60, 288),
    Endpoint("consumption", 0.14, ("price_area",), True, 0, 1.2, 3_000, 80, 24),
    Endpoint("exchange", 0.10, ("price_area",), False, 0, 1.6, 14_000, 45, 288),
    Endpoint("production_municipality", 0.14, ("municipality",), False, 1, 1.5, 30_000, 180, 1),
    Endpoint("consumption_municipality", 0.12, ("municipality",), False, 1, 1.7, 26_000, 220, 1),
    Endpoint("consumption_branch", 0.12, ("municipality", "branch"), False, 1, 2.0, 60_000, 450, 1),
)
SIZES = {"price_area": N_PRICE_AREAS, "municipality": N_MUNICIPALITIES, "branch": N_BRANCHES}
ZIPF = {"price_area": 0.8, "municipality": 1.0, "branch": 1.1}
SCANNED = tuple(code for code, endpoint in enumerate(ENDPOINTS) if "municipality" in endpoint.parameters)


@dataclass(frozen=True)
class EnergyTraffic:
    """Columns of equal length, in time order. A parameter that a request lacks is -1.

    Attributes:
        timestamp_us: int64, microseconds since 1970 UTC, never falling.
        endpoint: int64, index into `ENDPOINTS`.
        price_area, municipality, branch: int64 codes.
        day: int64, days since 1970 of the window.
        hour: int64, hour of the day of the window, -1 for a whole day.
        size_bytes: int64, >= 1.
        load_time_ms: float64, > 0.
        origin_version: int64, >= 0, the updates of the window so far.
    """

    timestamp_us: IntArray
    endpoint: IntArray
    price_area: IntArray
    municipality: IntArray
    branch: IntArray
    day: IntArray
    hour: IntArray
    size_bytes: IntArray
    load_time_ms: FloatArray
    origin_version: IntArray


class _Asked(NamedTuple):
    """What is asked for: the columns that make a key."""

    endpoint: IntArray
    price_area: IntArray
    municipality: IntArray
    branch: IntArray
    day: IntArray
    hour: IntArray

    def at(self, index: IntArray | NDArray[np.bool_]) -> "_Asked":
        return _Asked(*(column[index] for column in self))


def energy_traffic(requests: int, seed: int) -> EnergyTraffic:
    """Return `requests` (>= 1) synthetic requests; the same arguments give the same traffic.

    Raises:
        ConfigError: `requests` is below 1, or `seed` is negative.
    """
    if requests < 1 or seed < 0:
        raise ConfigError(f"requests must be >= 1 and seed >= 0, got {requests} and {seed}")
    rng = np.random.default_rng([GENERATOR_VERSION, seed])
    scans = int(SCAN_SHARE * requests / SCAN_STEPS)
    scan_time_s, scanned = _scans(scans, rng)
    time_s = _arrival_times_s(requests - scan_time_s.size, rng)
    asked = _repeated(_ordinary(time_s, rng), rng)
    time_s = np.concatenate([time_s, scan_time_s])
    asked = _Asked(*(np.concatenate(pair) for pair in zip(asked, scanned, strict=True)))
    order = np.argsort(time_s, kind="stable")
    return _answered(time_s[order], asked.at(order), seed, rng)


def _arrival_times_s(count: int, rng: np.random.Generator) -> FloatArray:
    """Sorted seconds since the first midnight, by the rhythm of day and week."""
    rate = hourly_rates(SPAN_DAYS)
    cumulative = np.concatenate([[0.0], np.cumsum(rate)]) / rate.sum()
    return np.interp(np.sort(rng.random(count)), cumulative, np.arange(cumulative.size) * float(HOUR_S))


def hourly_rates(days: int) -> FloatArray:
    """Return the traffic of each hour from `FIRST_DAY` on, a Monday, shape (24 * days,), in no unit."""
    weekday = np.arange(days) % 7
    return np.outer(np.where(weekday >= 5, WEEKEND_SHARE, 1.0), HOURLY_SHAPE).ravel()


def _ordinary(time_s: FloatArray, rng: np.random.Generator) -> _Asked:
    """Requests that follow popularity: endpoint, its parameters, and how old a window."""
    weights = np.array([endpoint.weight for endpoint in ENDPOINTS])
    code = rng.choice(len(ENDPOINTS), time_s.size, p=weights / weights.sum())
    asked = _Asked(code, *(np.full(time_s.size, NONE) for _ in range(5)))
    for number, endpoint in enumerate(ENDPOINTS):
        of_it = np.flatnonzero(code == number)
        for name in endpoint.parameters:
            getattr(asked, name)[of_it] = _zipf(of_it.size, SIZES[name], ZIPF[name], number, rng)
        windows_per_day = 24 if endpoint.hourly else 1
        age = _zipf(of_it.size, HISTORY_DAYS, endpoint.cooling, None, rng)
        newest = np.floor(time_s[of_it] / DAY_S * windows_per_day).astype(np.int64)
        window = newest - (endpoint.newest_days * windows_per_day + age)
        asked.day[of_it] = FIRST_DAY + window // windows_per_day
        if endpoint.hourly:
            asked.hour[of_it] = window % 24
    return asked


def _zipf(count: int, size: int, exponent: float, shuffle: int | None, rng: np.random.Generator) -> IntArray:
    """Draw from [0, size) by rank**-exponent; rank 1 is 0, or some value that depends on `shuffle` alone."""
    drawn = zipf_ranks(count, size, exponent, rng)
    return drawn if shuffle is None else np.random.default_rng(shuffle).permutation(size)[drawn]


def zipf_ranks(count: int, size: int, exponent: float, rng: np.random.Generator) -> IntArray:
    """Draw `count` numbers from [0, size), number i with a probability that goes as (1 + i)**-exponent."""
    weights = np.arange(1, size + 1) ** -exponent
    return np.searchsorted(np.cumsum(weights / weights.sum())[:-1], rng.random(count))


def _repeated(asked: _Asked, rng: np.random.Generator) -> _Asked:
    """Let a share of the requests ask again for what an ordinary one shortly before did."""
    count = asked.endpoint.size
    back = rng.geometric(1 / REPEAT_WITHIN, count)
    index = np.arange(count)
    return asked.at(np.where(rng.random(count) < REPEAT_SHARE, np.maximum(index - back, 0), index))


def _scans(count: int, rng: np.random.Generator) -> tuple[FloatArray, _Asked]:
    """Clients that walk all municipalities of one day, or (every second one) the days of one municipality."""
    start_s = np.repeat(rng.random(count) * (SPAN_DAYS * DAY_S - SCAN_STEPS * SCAN_GAP_S), SCAN_STEPS)
    step = np.tile(np.arange(SCAN_STEPS), count)
    code = np.repeat(rng.choice(SCANNED, count), SCAN_STEPS)
    chosen = np.repeat(rng.integers(0, N_MUNICIPALITIES, count), SCAN_STEPS)
    age_days = np.repeat(1 + _zipf(count, 30, 1.0, None, rng), SCAN_STEPS)
    walks_days = np.repeat(np.arange(count) % 2 == 1, SCAN_STEPS)
    today = FIRST_DAY + (start_s // DAY_S).astype(np.int64)
    has_branch = np.array(["branch" in endpoint.parameters for endpoint in ENDPOINTS])
    branch = np.where(has_branch[code], chosen % N_BRANCHES, NONE)
    none = np.full(code.size, NONE)
    municipality = np.where(walks_days, chosen, step)
    day = today - np.where(walks_days, 1 + step, age_days)
    return start_s + step * SCAN_GAP_S, _Asked(code, none, municipality, branch, day, none)


def _answered(time_s: FloatArray, asked: _Asked, seed: int, rng: np.random.Generator) -> EnergyTraffic:
    """Add what the API answers: bytes, time to load, version of the content."""
    facts = np.array([(e.answer_bytes, e.load_ms, e.updates_per_day) for e in ENDPOINTS])[asked.endpoint]
    window_s = np.where(asked.hour >= 0, HOUR_S, DAY_S)
    opened_s = (asked.day - FIRST_DAY) * DAY_S + np.maximum(asked.hour, 0) * HOUR_S
    open_for_s = np.clip(time_s - opened_s, 0, window_s)
    corrected = time_s - opened_s > CORRECTED_AFTER_DAYS * DAY_S
    version = np.floor(open_for_s / DAY_S * facts[:, 2]).astype(np.int64) + corrected
    shape, slowness = object_normals(asked, seed)
    known_ahead = np.array([endpoint.newest_days < 0 for endpoint in ENDPOINTS])[asked.endpoint]
    filled = np.where(known_ahead, 1.0, 0.1 + 0.9 * open_for_s / window_s)
    size_bytes = np.maximum(1, np.rint(facts[:, 0] * np.exp(0.5 * shape) * filled)).astype(np.int64)
    busy = (HOURLY_SHAPE / HOURLY_SHAPE.mean())[(time_s // HOUR_S).astype(np.int64) % 24]
    archived = np.where(time_s - opened_s > 30 * DAY_S, 3.0, 1.0)
    noise = np.exp(0.15 * rng.standard_normal(time_s.size))
    load_time_ms = facts[:, 1] * np.exp(0.4 * slowness) * (0.8 + 0.2 * busy) * archived * noise
    timestamp_us = FIRST_DAY * DAY_S * 1_000_000 + np.floor(time_s * 1e6).astype(np.int64)
    return EnergyTraffic(timestamp_us, *asked, size_bytes, load_time_ms, version)


def object_normals(codes: Sequence[IntArray], seed: int) -> tuple[FloatArray, FloatArray]:
    """Return two standard normal numbers a row of `codes`, the same wherever the row is (hashed, then Box-Muller)."""
    state = np.full(codes[0].size, seed, np.uint64)
    for column in codes:
        state = _splitmix64(state ^ column.astype(np.uint64))
    radius = np.sqrt(-2 * np.log((1 + (state >> np.uint64(11))) * 2.0**-53))
    angle = 2 * np.pi * (_splitmix64(state) >> np.uint64(11)) * 2.0**-53
    return radius * np.cos(angle), radius * np.sin(angle)


def _splitmix64(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit numbers one to one (Steele, Lea and Flood 2014)."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def energy_trace(requests: int, seed: int) -> Trace:
    """Return synthetic traffic as a trace; an object is an endpoint with its parameters and window.

    Args:
        requests: how many, >= 1.
        seed: >= 0, the same seed gives the same requests.
    """
    traffic = energy_traffic(requests, seed)
    asked = np.stack([getattr(traffic, name) for name in _Asked._fields])  # (fields, n)
    _, first, codes = np.unique(asked, axis=1, return_index=True, return_inverse=True)
    by_appearance = np.argsort(np.argsort(first))
    return Trace(
        key=by_appearance[codes.ravel()],
        timestamp_s=traffic.timestamp_us / 1e6,
        size_bytes=traffic.size_bytes,
        load_time_ms=traffic.load_time_ms.astype(np.float32),
        endpoint=traffic.endpoint.astype(np.int32),
        n_keys=first.size,
        endpoint_names=tuple(endpoint.name for endpoint in ENDPOINTS),
        version=traffic.origin_version,
    )
