"""Recording simulated traffic of an energy data API into `cache_metrics`."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from cachesim.synthetic import ENDPOINTS, GENERATOR_VERSION, NONE, EnergyTraffic, energy_traffic
from infra.database import writing
from schemas.config import SimulateConfig
from schemas.tables import cache_metrics
from tasks.ingest import (
    IngestedSource,
    Progress,
    SourceIdentity,
    add_source,
    find_source,
    insert_rows,
    no_progress,
    set_counts,
)

CHUNK_ROWS = 128 * 1024
KEY_COLUMNS = ("endpoint", "price_area", "municipality", "branch", "day", "hour")
PRICE_AREAS = ("DK1", "DK2", "NO2", "SE3", "SE4", "DE")
FIRST_MUNICIPALITY = 101  # a plausible number in place of a code: 101, 102, ...


def record_simulated(engine: sa.Engine, config: SimulateConfig, on_progress: Progress = no_progress) -> IngestedSource:
    """Record `config.requests` simulated requests in one transaction; the same requests and seed again add nothing.

    Args:
        engine: of `open_database`.
        config: how many requests, and the seed.
        on_progress: called after each chunk with rows done and rows in all.

    Raises:
        StorageError: the database failed. Nothing was written.
    """
    recipe = {"generator": "energy", "version": GENERATOR_VERSION, "requests": config.requests, "seed": config.seed}
    text = json.dumps(recipe, sort_keys=True)
    name = f"energy traffic, {config.requests} requests, seed {config.seed}"
    identity = SourceIdentity(hashlib.sha256(text.encode()).hexdigest(), "{}", name, "simulated")
    with writing(engine) as connection:
        known = find_source(connection, identity)
        if known:
            return known
        source_id = add_source(connection, identity)
        traffic = energy_traffic(config.requests, config.seed)
        for start in range(0, config.requests, CHUNK_ROWS):
            rows = traffic_rows(traffic, slice(start, start + CHUNK_ROWS))
            insert_rows(connection, cache_metrics, rows, source_id)
            on_progress(start + rows.num_rows, config.requests)
        set_counts(connection, source_id, rows=config.requests)
    return IngestedSource(source_id, name, config.requests, config.requests, 0)


def traffic_rows(traffic: EnergyTraffic, span: slice) -> pa.Table:
    """Return the requests of `span` as rows of `cache_metrics`, with readable keys; each distinct key is made once."""
    codes = np.stack([getattr(traffic, name)[span] for name in KEY_COLUMNS], axis=1)
    distinct, index = np.unique(codes, axis=0, return_inverse=True)
    keys = pa.array([readable_key(row) for row in distinct.tolist()])
    names = pa.array([f"/{endpoint.name}" for endpoint in ENDPOINTS])
    return pa.table(
        {
            "timestamp": traffic.timestamp_us[span],
            "cache_name": names.take(pa.array(traffic.endpoint[span])),
            "cache_key": keys.take(pa.array(index)),
            "size_bytes": traffic.size_bytes[span],
            "load_time_ms": traffic.load_time_ms[span],
            "origin_version": traffic.origin_version[span],
        }
    )


def readable_key(codes: list[int]) -> str:
    """Return the request of a row of `KEY_COLUMNS`, e.g. "GET /exchange?price_area=DK1&date=2026-03-01"."""
    endpoint, price_area, municipality, branch, day, hour = codes
    parameters = {
        "price_area": None if price_area == NONE else PRICE_AREAS[price_area],
        "municipality": None if municipality == NONE else FIRST_MUNICIPALITY + municipality,
        "branche": None if branch == NONE else 1 + branch,
        "date": np.datetime64(day, "D"),
        "hour": None if hour == NONE else hour,
    }
    query = "&".join(f"{name}={value}" for name, value in parameters.items() if value is not None)
    return f"GET /{ENDPOINTS[endpoint].name}?{query}"
