"""Load time saved on simulated traffic: evictions against GDSF, times to live against the best fixed one.

    python -m benchmarks.saved_time [--json] [--seeds 3] [--algorithms dqn ppo a2c] [--requests 100000]

Traffic of an energy data API (seed 0), default settings, `cache_weights` load_time_ms=1, learned on the first 60 % and
judged on the rest, caches of 1 % and 10 % of the bytes. Of times to live a stale hit saves nothing (staleness weight
1), eviction is by LRU, and the fixed ones are those of the ladder and three more between each two, the best in
hindsight. Ratios are load time saved / load time of all.
"""

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.command import main, markdown, progress
from benchmarks.traces import footprint_bytes
from cachesim.traffic.energy import energy_trace
from learning.evaluation.baselines import BY_ENDPOINT
from learning.evaluation.evaluate import evaluate
from learning.problem import build_problem
from learning.training.train import train
from schemas.options.train import TrainConfig
from schemas.trace import Trace

ALGORITHMS = ("dqn", "ppo", "a2c")
FRACTIONS = (0.01, 0.1)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each")
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS, choices=ALGORITHMS)
    parser.add_argument("--requests", type=int, default=100_000, help="length of the simulated traffic")
    parser.add_argument("--timesteps", type=int, default=300_000, help="decisions of each training")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return a row a decision, capacity and algorithm."""
    trace = energy_trace(options.requests, seed=0)
    rows = []
    for decision, fraction, algorithm in _cells(options.algorithms):
        configs = [
            TrainConfig.model_validate(
                {
                    "decision": decision,
                    "algorithm": algorithm,
                    "cache_bytes": int(fraction * footprint_bytes(trace)),
                    "cache_weights": {"load_time_ms": 1},
                    "timesteps": options.timesteps,
                    "seed": seed,
                }
            )
            for seed in range(options.seeds)
        ]
        row = {"decision": decision, "fraction": fraction, "algorithm": algorithm, **_row(trace, configs)}
        progress(str(row))
        rows.append(row)
    return {"requests": options.requests, "seeds": options.seeds, "rows": rows}


def _cells(algorithms: list[str]) -> Iterator[tuple[str, float, str]]:
    for decision in ("eviction", "ttl"):
        for fraction in FRACTIONS:
            for algorithm in algorithms:
                yield decision, fraction, algorithm


def _row(trace: Trace, configs: list[TrainConfig]) -> dict[str, Any]:
    """Return how trainings that differ by their seeds did on the held-out span, and what they are compared with."""
    learned = []
    for config in configs:
        problem = build_problem(trace, config)
        policy = train(problem, config, lambda *_: None, lambda *_: None)
        found = evaluate(problem, policy.policy, config.seed)
        learned.append(found.policy.value_ratio or 0.0)
    baselines = {name: score.value_ratio or 0.0 for name, score in found.baselines.items() if name != BY_ENDPOINT}
    return {
        "learned": learned,
        "mean": float(np.mean(learned)),
        "reference": baselines[found.reference],
        "best_baseline": max(baselines, key=baselines.__getitem__),
        "best": max(baselines.values()),
    }


def table(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    names = ["decision", "bytes", "LRU", "best baseline in hindsight", "algorithm", "learned, mean", "each seed"]
    lines = [
        [
            row["decision"],
            f"{row['fraction']:.0%}",
            f"{row['reference']:.4f}",
            f"{row['best']:.4f} {row['best_baseline']}",
            row["algorithm"],
            f"{row['mean']:.4f}",
            " ".join(f"{ratio:.4f}" for ratio in row["learned"]),
        ]
        for row in result["rows"]
    ]
    return f"{result['requests']:,} requests, {result['seeds']} seeds\n\n{markdown(names, lines)}"


if __name__ == "__main__":
    main(__doc__, add_options, measure, table)
