"""Whether memory stays constant, however many requests and keys come.

    python -m benchmarks.endless [--json] [--requests 100] [--policies lru s3-fifo] [--trace orm_busy]

Replays a shared trace again and again, each time with other keys, through one cache that lives on. What is reported is
the memory of the process beyond the trace: after the first tenth of the requests, and at the end.
"""

import argparse
import dataclasses
import resource  # noqa: TID251  # psutil tells no peak on Linux
import time
from typing import Any

import numpy as np
import psutil

from benchmarks.command import main, markdown, progress
from benchmarks.traces import shared_trace
from cachesim.cache import Cache
from cachesim.capacity import Capacity

FRACTION = 0.1
CHECKS = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--trace", default="orm_busy", help="name of a shared trace")
    parser.add_argument("--policies", nargs="+", default=["lru", "s3-fifo", "lirs", "w-tinylfu"])
    parser.add_argument("--requests", type=int, default=100, help="millions of requests")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return memory and speed of each policy."""
    trace = shared_trace(options.trace)
    capacity = Capacity.resolve(trace, fraction=FRACTION)
    rows = [_row(trace, policy, capacity, options.requests * 1_000_000) for policy in options.policies]
    return {"trace": options.trace, "capacity": capacity.limit, "rows": rows}


def _row(trace: Any, policy: str, capacity: Capacity, requests: int) -> dict[str, Any]:
    cache, served, hits, started = Cache(policy, capacity), 0, 0, time.perf_counter()
    resident: list[int] = []
    for repetition in range(-(-requests // len(trace))):
        part = dataclasses.replace(
            trace, key=trace.key + repetition * trace.n_keys, n_keys=(repetition + 1) * trace.n_keys
        )[: requests - served]
        hits, served = hits + int(np.count_nonzero(cache.replay(part))), served + len(part)
        if served * CHECKS // requests > len(resident):
            resident.append(_resident_bytes())
            progress(f"{policy}: {served:,} requests, {resident[-1] / 2**20:.1f} MiB in memory")
    return {
        "policy": policy,
        "requests": served,
        "distinct_keys": trace.distinct_keys * (repetition + 1),
        "hit_ratio": round(hits / served, 6),
        "mib_at_a_tenth": round(resident[0] / 2**20, 1),
        "mib_at_the_end": round(resident[-1] / 2**20, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, 1),
        "state_bytes": cache.state_bytes,
        "resident_objects": cache.counts.resident_objects,
        "seconds": round(time.perf_counter() - started, 1),
    }


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def table(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    rows = result["rows"]
    heading = f"{result['trace']}, {result['capacity']:,} objects"
    return f"{heading}\n\n{markdown(list(rows[0]), (list(row.values()) for row in rows))}"


if __name__ == "__main__":
    main(__doc__, add_options, measure, table)
