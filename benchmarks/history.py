"""What it costs to remember few keys: the hit ratio against how many are remembered.

    python -m benchmarks.history [--json] [--algorithm a2c] [--seed 0] [--multiples 1 2 4 8 16 1000000]

Trains with the default settings on the first 60 % of each shared trace and judges on the rest, with the history of keys
bounded by each multiple of the capacity, in training and evaluation alike.
"""

import argparse
from typing import Any

import numpy as np

from benchmarks.command import main, markdown, progress
from benchmarks.traces import shared_trace
from benchmarks.training import trained
from learning.problem import build_problem
from learning.run_policy import replay_policy
from schemas.options.train import TrainConfig

TRACES = ("web12", "orm_busy", "cloudphysics_io", "lirs_multi3", "w106_block")
FRACTIONS = (0.01, 0.1)
ALL = 1_000_000  # capacities: more than any of the traces has keys


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--algorithm", default="a2c", choices=["dqn", "ppo", "a2c"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--traces", nargs="+", default=TRACES, help="names of shared traces")
    parser.add_argument("--multiples", nargs="+", type=int, default=[1, 2, 4, 8, 16, ALL])


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the hit ratio on the held-out requests, by trace, capacity and multiple."""
    rows = []
    for name in options.traces:
        trace = shared_trace(name)
        for fraction in FRACTIONS:
            for multiple in options.multiples:
                config = TrainConfig(
                    algorithm=options.algorithm, seed=options.seed, cache_fraction=fraction, history_multiple=multiple
                )
                problem = build_problem(trace, config)
                hit = replay_policy(problem, trained(problem, config), options.seed)
                hit_ratio = float(hit[problem.held_out].mean())
                row = {"trace": name, "capacity": problem.capacity.limit, "multiple": multiple, "hit_ratio": hit_ratio}
                progress(str(row))
                rows.append(row)
    return {"algorithm": options.algorithm, "seed": options.seed, "rows": rows}


def table(result: dict[str, Any]) -> str:
    """Return the result as Markdown: a line a cell, a column a multiple, and the means."""
    rows = result["rows"]
    multiples = sorted({row["multiple"] for row in rows})
    names = ["trace", "objects", *("all" if multiple == ALL else str(multiple) for multiple in multiples)]
    ratios: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        ratios.setdefault((row["trace"], row["capacity"]), []).append(row["hit_ratio"])
    lines = [*ratios.items(), (("mean", ""), np.mean(list(ratios.values()), axis=0))]
    cells = ([*cell, *(f"{ratio:.4f}" for ratio in found)] for cell, found in lines)
    return f"{result['algorithm']}, seed {result['seed']}\n\n{markdown(names, cells)}"


if __name__ == "__main__":
    main(__doc__, add_options, measure, table)
