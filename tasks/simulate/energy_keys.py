"""The requests of the energy data API as texts: which codes of the generator stand for which names."""

import numpy as np
import pyarrow as pa

from cachesim.traffic.energy import ENDPOINTS, NONE, EnergyTraffic
from tasks.simulate.energy_hours import AREAS

KEY_COLUMNS = ("endpoint", "price_area", "municipality", "branch", "day", "hour")
PRICE_AREAS = tuple(code for code, _, _ in AREAS)
FIRST_MUNICIPALITY = 101  # a plausible number in place of a code: 101, 102, ...
FIRST_BRANCH = 1


def energy_rows(traffic: EnergyTraffic, span: slice) -> pa.Table:
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
        "branche": None if branch == NONE else FIRST_BRANCH + branch,
        "date": np.datetime64(day, "D"),
        "hour": None if hour == NONE else hour,
    }
    query = "&".join(f"{name}={value}" for name, value in parameters.items() if value is not None)
    return f"GET /{ENDPOINTS[endpoint].name}?{query}"
