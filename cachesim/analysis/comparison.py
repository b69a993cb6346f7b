"""Policies side by side: the miss ratio of each at many capacities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cachesim.analysis.bounds import PFOO, pfoo_score
from cachesim.analysis.key_sample import adjusted_hit_ratio, scaled
from cachesim.analysis.metrics import Score, score
from cachesim.capacity import Capacity, Unit
from cachesim.replay import LEARNED, POLICIES, replay
from schemas.errors import ConfigError
from schemas.trace import IntArray, Trace

Measure = Literal["requests", "bytes", "load_time"]
SMALLEST_SHARE = 0.001  # of all objects or bytes
_RATIOS = {"requests": "hit_ratio", "bytes": "byte_hit_ratio", "load_time": "saved_load_time_ratio"}


@dataclass(frozen=True)
class Comparison:
    """Miss ratios of policies.

    Attributes:
        unit: of the capacities.
        capacities: of the whole traffic's cache, rising.
        measure: what a miss costs.
        miss_ratios: policy -> one ratio in [0, 1] a capacity.
    """

    unit: Unit
    capacities: list[int]
    measure: Measure
    miss_ratios: dict[str, list[float]]


def footprint(trace: Trace, unit: Unit) -> int:
    """Return how many objects are requested, or the bytes of each at its last request together."""
    if unit == "objects":
        return trace.distinct_keys
    size_bytes = np.zeros(trace.n_keys, np.int64)
    size_bytes[trace.key] = trace.size_bytes
    return int(size_bytes.sum())


def capacity_ladder(footprint: int, points: int) -> IntArray:
    """Return up to `points` different capacities, from 0.1 % of a footprint to all, in equal steps of a log scale."""
    if footprint < 1:
        raise ConfigError("there is nothing to keep: no object is requested")
    return np.unique(np.geomspace(max(1, SMALLEST_SHARE * footprint), footprint, points).round().astype(np.int64))


def require_comparable(policies: Sequence[str]) -> None:
    """Raise ConfigError unless there are such policies, or bounds, and they need no trained network."""
    known = sorted([*POLICIES, PFOO])
    for policy in policies:
        if policy in LEARNED:
            raise ConfigError(f"policy {policy} needs a trained network: `train` compares it with the others")
        if policy not in known:
            raise ConfigError(f"unknown policy {policy}; known: {', '.join(known)}")


def compare(
    trace: Trace,
    policies: Sequence[str],
    capacities: Sequence[int],
    *,
    unit: Unit = "objects",
    measure: Measure = "requests",
    warm_up: float = 0.0,
    ttl_s: float | None = None,
    key_sample: float = 1.0,
    all_requests: int | None = None,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Replay the trace with each policy at each capacity.

    Args:
        trace: the requests, or those of a sample of the keys.
        policies: names in `replay.POLICIES`, and `bounds.PFOO`.
        capacities: of the whole traffic's cache, >= 1 in `unit`.
        unit: of the capacities.
        measure: what a miss costs: one request, the object's bytes, or its load time.
        warm_up: share of the requests, the first ones, that only warm the cache; in [0, 1).
        ttl_s: see `replay.replay`.
        key_sample: the share of the keys that the trace holds: each capacity is scaled by it.
        all_requests: how many requests there were for all keys. With it the misses of a sample are referred to its
            share of those, which corrects for very hot keys that it has or lacks (SHARDS-adj); only for `requests`.
        seed: of the policies that draw at random.
        on_progress: called with replays done and replays in all.

    Raises:
        ConfigError: there is no such policy, a capacity is below 1, or no load time is known.
    """
    require_comparable(policies)
    judged = slice(int(warm_up * len(trace)), len(trace))
    miss_ratios: dict[str, list[float]] = {policy: [] for policy in policies}
    for capacity in capacities:
        cache = scaled(Capacity(int(capacity), unit), key_sample)
        for policy in policies:
            if policy == PFOO:
                found = pfoo_score(trace, cache, judged)
            else:
                found = score(trace, replay(trace, policy, cache, ttl_s=ttl_s, seed=seed).hit, judged)
            ratio = _ratio(found, measure)
            if all_requests is not None and measure == "requests":
                misses = round((1 - ratio) * found.requests)
                ratio = adjusted_hit_ratio(misses, key_sample, round((1 - warm_up) * all_requests)) or 0.0
            miss_ratios[policy].append(1.0 - ratio)
            on_progress(sum(map(len, miss_ratios.values())), len(policies) * len(capacities))
    return Comparison(unit, [int(c) for c in capacities], measure, miss_ratios)


def _ratio(judged: Score, measure: Measure) -> float:
    ratio: float | None = getattr(judged, _RATIOS[measure])
    if ratio is None:
        raise ConfigError(
            f"measure {measure} needs requests whose {measure.replace('_', ' ')} is known; choose another"
        )
    return ratio
