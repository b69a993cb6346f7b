"""Simulated traffic as rows of `cache_metrics`: what the options of `simulate` ask for, not yet written anywhere."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import JsonValue

from cachesim.traffic.energy import DAY_S, FIRST_DAY, GENERATOR_VERSION, SPAN_DAYS, energy_traffic
from cachesim.traffic.profiles import PROFILES_VERSION, Plan, ProfileTraffic, profile_traffic
from schemas.options.simulate import DEFAULT_EXPONENT, DEFAULT_OBJECTS, SimulateConfig
from tasks.simulate.energy_keys import energy_rows
from tasks.simulate.openapi import read_operations, request_keys

CHUNK_ROWS = 128 * 1024
START_US = FIRST_DAY * DAY_S * 1_000_000
OBJECTS_NAME = "/objects"

RowsOf = Callable[[slice], pa.Table]


@dataclass(frozen=True)
class SimulatedTraffic:
    """Requests that can be made.

    Attributes:
        name: what they are, for people.
        recipe: what decides them; two of the same recipe are the same requests.
        requests: how many.
        span_s: the first and the last are at most so many seconds apart; they begin at `START_US`.
        make: makes them; returns a function that gives those of a span as rows of `cache_metrics`, in time order.
    """

    name: str
    recipe: dict[str, JsonValue]
    requests: int
    span_s: float
    make: Callable[[], RowsOf]

    @property
    def sha256(self) -> str:
        """Digest of the recipe."""
        return hashlib.sha256(json.dumps(self.recipe, sort_keys=True).encode()).hexdigest()

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[pa.Table]:
        """Make the requests and yield them in tables of so many rows."""
        rows_of = self.make()
        for start in range(0, self.requests, rows):
            yield rows_of(slice(start, start + rows))


def simulated_traffic(config: SimulateConfig) -> SimulatedTraffic:
    """Return the traffic that the options ask for.

    Raises:
        SourceError: the OpenAPI file cannot be used.
    """
    return _energy(config) if config.chosen_profile == "energy" else _profile(config)


def _energy(config: SimulateConfig) -> SimulatedTraffic:
    requests, seed = config.total_requests, config.seed

    def make() -> RowsOf:
        traffic = energy_traffic(requests, seed)
        return lambda span: energy_rows(traffic, span)

    return SimulatedTraffic(
        name=f"energy traffic, {requests} requests, seed {seed}",
        recipe={"generator": "energy", "version": GENERATOR_VERSION, "requests": requests, "seed": seed},
        requests=requests,
        span_s=float(SPAN_DAYS * DAY_S),
        make=make,
    )


def _profile(config: SimulateConfig) -> SimulatedTraffic:
    names, keys, api = _objects(config)
    plan = Plan(
        requests=config.total_requests,
        duration_s=config.total_s,
        objects=len(keys),
        clients=config.clients,
        exponent=DEFAULT_EXPONENT if config.exponent is None else config.exponent,
        seed=config.seed,
    )

    def make() -> RowsOf:
        traffic = profile_traffic(config.chosen_profile, plan)
        return lambda span: _rows(traffic, names, keys, span)

    of = "" if config.openapi is None else f" of {Path(config.openapi).name[-100:]}"
    return SimulatedTraffic(
        name=f"{config.chosen_profile} traffic{of}, {plan.requests} requests, seed {plan.seed}",
        recipe={"generator": config.chosen_profile, "version": PROFILES_VERSION, **asdict(plan), "api": api},
        requests=plan.requests,
        span_s=plan.duration_s,
        make=make,
    )


def _objects(config: SimulateConfig) -> tuple[pa.Array, pa.Array, str | None]:
    """Cache name and key of each object, and the digest of both where they are those of an API."""
    most = config.objects or DEFAULT_OBJECTS
    if config.openapi is None:
        keys = pa.array([f"GET {OBJECTS_NAME}/{number}" for number in range(most)])
        return pa.array(np.broadcast_to(OBJECTS_NAME, most)), keys, None
    names, keys = request_keys(read_operations(Path(config.openapi)), most, config.seed)
    return pa.array(names), pa.array(keys), hashlib.sha256(json.dumps([names, keys]).encode()).hexdigest()


def _rows(traffic: ProfileTraffic, names: pa.Array, keys: pa.Array, span: slice) -> pa.Table:
    objects = pa.array(traffic.object[span])
    return pa.table(
        {
            "timestamp": traffic.timestamp_us[span],
            "cache_name": names.take(objects),
            "cache_key": keys.take(objects),
            "size_bytes": traffic.size_bytes[span],
            "load_time_ms": traffic.load_time_ms[span],
            "origin_version": traffic.origin_version[span],
        }
    )
