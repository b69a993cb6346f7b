"""What a sample of the keys gets wrong: LRU curves by SHARDS, replays of scaled-down traces, learning from them.

    python -m benchmarks.sampling [--json] [--salts 8]

Errors are absolute, in hit ratio, against the whole trace: the mean over so many samples, and the worst of them. What
was learned (A2C, seed 0) from the first 60 % of a sample is judged on the last 40 % of the whole trace.
"""

import argparse
from typing import Any

import numpy as np

from benchmarks.command import main, markdown, progress
from benchmarks.traces import shared_trace
from benchmarks.training import trained
from cachesim.analysis.key_sample import adjusted_hit_ratio, sample_keys, scaled
from cachesim.analysis.lru_curve import lru_curve
from cachesim.analysis.shards import mean_absolute_error, sampled_lru_curve
from cachesim.capacity import Capacity
from cachesim.replay import replay
from learning.problem import build_problem
from learning.run_policy import replay_policy
from schemas.options.train import TrainConfig
from schemas.trace import Trace

CURVE_TRACES, MAX_KEYS, GRID = ("orm_busy", "w106_block", "web12"), (1_000, 4_000, 16_000), 100
SCALED_TRACES, RATES, FRACTIONS, POLICIES = (
    ("orm_busy", "w106_block"),
    (1 / 2, 1 / 4, 1 / 8, 1 / 16),
    (0.01, 0.1),
    ("lru", "s3-fifo"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--salts", type=int, default=8, help="samples of each kind")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the errors of sampled curves, and of scaled-down traces."""
    curves = [_curve_error(name, keys, options.salts) for name in CURVE_TRACES for keys in MAX_KEYS]
    scaled_down = [
        _scaled_error(shared_trace(name), name, policy, fraction, rate, options.salts)
        for name in SCALED_TRACES
        for policy in POLICIES
        for fraction in FRACTIONS
        for rate in RATES
    ]
    learned = [_learned(name, fraction) for name in SCALED_TRACES for fraction in FRACTIONS]
    return {"salts": options.salts, "curves": curves, "scaled_down": scaled_down, "learned": learned}


def _curve_error(name: str, max_keys: int, salts: int) -> dict[str, Any]:
    """Over evenly spaced capacities up to all keys, as in the paper."""
    progress(f"curve of {name}, {max_keys} keys")
    trace = shared_trace(name)
    exact, grid = lru_curve(trace), np.linspace(1, trace.distinct_keys, GRID).astype(np.int64)
    errors = [
        mean_absolute_error(sampled_lru_curve(trace, max_keys=max_keys, salt=salt), exact, grid)
        for salt in range(salts)
    ]
    return {"trace": name, "max_keys": max_keys, **_summary(errors)}


def _scaled_error(trace: Trace, name: str, policy: str, fraction: float, rate: float, salts: int) -> dict[str, Any]:
    progress(f"{policy} on 1/{1 / rate:g} of {name}")
    capacity = Capacity.resolve(trace, fraction=fraction)
    whole, errors, raw_errors = float(replay(trace, policy, capacity).hit.mean()), [], []
    for salt in range(salts):
        hit = replay(sample_keys(trace, rate, salt), policy, scaled(capacity, rate)).hit
        adjusted = adjusted_hit_ratio(int((~hit).sum()), rate, len(trace)) or 0.0
        errors.append(abs(adjusted - whole))
        raw_errors.append(abs(float(hit.mean()) - whole))
    row = {"trace": name, "policy": policy, "capacity": capacity.limit, "rate": rate, "whole": round(whole, 6)}
    return {**row, **_summary(errors), "mean_error_unadjusted": round(float(np.mean(raw_errors)), 4)}


def _learned(name: str, fraction: float) -> dict[str, Any]:
    """Hit ratios of policies that learned from samples, with the whole cache on the whole trace."""
    trace = shared_trace(name)
    size = round(fraction * trace.distinct_keys)
    whole = build_problem(trace, TrainConfig(cache_size=size))
    row: dict[str, Any] = {"trace": name, "capacity": size}
    for rate in (1.0, *RATES):
        progress(f"learn from 1/{1 / rate:g} of {name}")
        config = TrainConfig(algorithm="a2c", cache_size=size, key_sample=rate)
        problem = build_problem(sample_keys(trace, rate), config)
        hit = replay_policy(whole, trained(problem, config), config.seed)[whole.held_out]
        row[f"learned from 1/{1 / rate:g}"] = round(float(hit.mean()), 4)
    return row


def _summary(errors: list[float]) -> dict[str, float]:
    return {"mean_error": round(float(np.mean(errors)), 4), "worst_error": round(max(errors), 4)}


def table(result: dict[str, Any]) -> str:
    """Return the result as Markdown tables."""
    tables = (result[name] for name in ("curves", "scaled_down", "learned"))
    return "\n\n".join(markdown(list(rows[0]), (list(row.values()) for row in rows)) for rows in tables)


if __name__ == "__main__":
    main(__doc__, add_options, measure, table)
