"""What the learning brings: hit ratios on held-out requests against the best classical policy in hindsight.

    python -m benchmarks.quality [--json] [--seeds 3] [--algorithms dqn ppo a2c] [--traces web12 ...] [--jobs 1]

Trains with the default settings on the first 60 % of each shared trace and judges on the rest, each cache warmed by the
requests before it: caches of 1 % and 10 % of the keys, and of the bytes where the trace has sizes. `online` goes on
learning on the held-out span, `guarded` is the frozen policy behind the guard; both with each seed, the mean is shown.
The bound is what no policy exceeds (`cachesim.analysis.bounds.bound_score`); a gap is that from LRU to it.
"""

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np

from benchmarks.command import main, markdown, progress
from benchmarks.traces import footprint_bytes, shared_trace
from cachesim.analysis.bounds import bound_score
from cachesim.replay import BASELINES, replay
from learning.evaluation.guarded import replay_guarded
from learning.networks import ScorerNet
from learning.problem import CacheProblem, build_problem
from learning.run_policy import replay_policy
from learning.training.algorithms import LOSS
from learning.training.online import replay_online
from learning.training.train import train
from schemas.options.train import TrainConfig

ALGORITHMS = ("dqn", "ppo", "a2c")
TRACES = ("web12", "orm_busy", "cloudphysics_io", "lirs_multi3", "w106_block")
WITH_SIZES = ("cloudphysics_io",)
FRACTIONS = (0.01, 0.1)
GUARDED_AGAINST = ("lru", "s3-fifo", "2q")


@dataclass(frozen=True)
class Cell:
    """A trace and the capacity of a cache, as a share of its keys ("objects") or of their bytes ("bytes")."""

    trace: str
    capacity_kind: str
    fraction: float

    def problem(self) -> tuple[CacheProblem, dict[str, Any]]:
        """Return the problem, and the options of its capacity."""
        trace = shared_trace(self.trace)
        if self.capacity_kind == "objects":
            options: dict[str, Any] = {"cache_fraction": self.fraction}
        else:
            options = {"cache_bytes": int(self.fraction * footprint_bytes(trace))}
        return build_problem(trace, TrainConfig(**options)), options


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each cell and algorithm")
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS, choices=ALGORITHMS)
    parser.add_argument("--traces", nargs="+", default=TRACES, help="names of shared traces")
    parser.add_argument("--timesteps", type=int, default=300_000, help="decisions of each training")
    parser.add_argument("--jobs", type=int, default=1, help="cells at a time; seconds are longer with more")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return a row a cell and algorithm."""
    tasks = [
        (cell, algorithm, options.seeds, options.timesteps)
        for cell in _cells(options.traces)
        for algorithm in options.algorithms
    ]
    rows = []
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        for row in pool.map(_measured, *zip(*tasks, strict=True)):
            progress(str({name: value for name, value in row.items() if name != "runs"}))
            rows.append(row)
    return {"seeds": options.seeds, "timesteps": options.timesteps, "jobs": options.jobs, "rows": rows}


def _cells(traces: list[str]) -> Iterator[Cell]:
    for trace in traces:
        for kind in ("objects", "bytes") if trace in WITH_SIZES else ("objects",):
            for fraction in FRACTIONS:
                yield Cell(trace, kind, fraction)


def _measured(cell: Cell, algorithm: str, seeds: int, timesteps: int) -> dict[str, Any]:
    problem, options = cell.problem()
    runs = [
        _run(problem, TrainConfig(algorithm=algorithm, seed=seed, timesteps=timesteps, **options))  # type: ignore[arg-type]
        for seed in range(seeds)
    ]
    baselines = {name: _judged(problem, replay(problem.trace, name, problem.capacity).hit) for name in BASELINES}
    best = max(baselines, key=baselines.__getitem__)
    bound = bound_score(problem.trace, problem.capacity, problem.held_out, problem.values)[1].value_ratio or 0.0
    mean, lru = float(np.mean([run["learned"] for run in runs])), baselines["lru"]
    return {
        **asdict(cell),
        "capacity": problem.capacity.limit,
        "algorithm": algorithm,
        "mean": mean,
        "sd": float(np.std([run["learned"] for run in runs], ddof=1)) if seeds > 1 else 0.0,
        "lru": lru,
        "best_classical": baselines[best],
        "best_name": best,
        "guarded_against": max(baselines[name] for name in GUARDED_AGAINST),
        "online": float(np.mean([run["online"] for run in runs])),
        "guarded": float(np.mean([run["guarded"] for run in runs])),
        "bound": bound,
        "gap_closed": (mean - lru) / (bound - lru) if bound > lru else None,
        "best_gap_closed": (baselines[best] - lru) / (bound - lru) if bound > lru else None,
        "seconds": float(np.mean([run["seconds"] for run in runs])),
        "steps_per_second": timesteps / float(np.mean([run["seconds"] for run in runs])),
        "runs": runs,
    }


def _run(problem: CacheProblem, config: TrainConfig) -> dict[str, float]:
    """Return how one training did on the held-out span, and its duration in seconds."""
    policy = train(problem, config, lambda *_: None, lambda *_: None)
    assert isinstance(policy.net, ScorerNet)
    seed, loss = config.seed, LOSS[config.algorithm]
    return {
        "seed": seed,
        "learned": _judged(problem, replay_policy(problem, policy.scorer, seed)),
        "online": _judged(problem, replay_online(problem, policy.net, policy.normaliser, loss, seed)),
        "guarded": _judged(problem, replay_guarded(problem, policy.scorer, seed).hit),
        "seconds": policy.seconds,
    }


def _judged(problem: CacheProblem, hit: np.ndarray[Any, np.dtype[np.bool_]]) -> float:
    return float(hit[problem.held_out].mean())


def table(result: dict[str, Any]) -> str:
    """Return the result as Markdown: a line a cell, its algorithms side by side; the means; and what falls short."""
    rows = result["rows"]
    algorithms = list(dict.fromkeys(row["algorithm"] for row in rows))
    cells: dict[tuple[str, str, float], dict[str, dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault((row["trace"], row["capacity_kind"], row["fraction"]), {})[row["algorithm"]] = row
    names = ["trace", "cache", "LRU", "best classical", "bound"]
    names += [f"{algorithm}{what}" for algorithm in algorithms for what in ("", " online", " guarded", " gap closed")]
    lines = [_line(cell, found, algorithms) for cell, found in cells.items()]
    parts = [
        f"{result['seeds']} seeds, {result['timesteps']:,} decisions",
        markdown(names, [*lines, _means(cells, algorithms)]),
    ]
    parts.append(_speeds(rows, algorithms, result["jobs"]))
    return "\n\n".join([*parts, "\n".join(_shortfalls(rows))])


def _line(cell: tuple[str, str, float], found: dict[str, dict[str, Any]], algorithms: list[str]) -> list[str]:
    trace, kind, fraction = cell
    first = found[algorithms[0]]
    line = [trace, f"{fraction:.0%} of the {'keys' if kind == 'objects' else 'bytes'}", f"{first['lru']:.4f}"]
    line += [f"{first['best_classical']:.4f} {first['best_name']}", f"{first['bound']:.4f}"]
    for algorithm in algorithms:
        row = found[algorithm]
        line += [f"{row['mean']:.4f} ± {row['sd']:.4f}", f"{row['online']:.4f}", f"{row['guarded']:.4f}"]
        line.append(_percent(row["gap_closed"]))
    return line


def _means(cells: dict[tuple[str, str, float], dict[str, dict[str, Any]]], algorithms: list[str]) -> list[str]:
    """Return the last line: means over the cells, of the best classical policy's share of the gap too."""

    def mean(algorithm: str, name: str) -> float:
        return float(np.mean([found[algorithm][name] or 0.0 for found in cells.values()]))

    first = algorithms[0]
    best = f"{mean(first, 'best_classical'):.4f} ({mean(first, 'best_gap_closed'):.0%} of the gap)"
    line = ["mean", "", f"{mean(first, 'lru'):.4f}", best, f"{mean(first, 'bound'):.4f}"]
    for algorithm in algorithms:
        line += [f"{mean(algorithm, name):.4f}" for name in ("mean", "online", "guarded")]
        line.append(_percent(mean(algorithm, "gap_closed")))
    return line


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _speeds(rows: list[dict[str, Any]], algorithms: list[str], jobs: int) -> str:
    def mean(algorithm: str, name: str) -> float:
        return float(np.mean([row[name] for row in rows if row["algorithm"] == algorithm]))

    names = ["algorithm", f"seconds, {jobs} at a time", "steps/s"]
    return markdown(
        names, ([a, f"{mean(a, 'seconds'):.1f}", f"{mean(a, 'steps_per_second'):,.0f}"] for a in algorithms)
    )


def _shortfalls(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield which cells fall short of the goal, and which below the floor."""
    checks = (
        ("below the best classical policy", lambda row: row["mean"] - row["best_classical"]),
        ("more than .002 below LRU", lambda row: row["mean"] - row["lru"] + 0.002),
        ("guarded more than .005 below the best of LRU, S3-FIFO and 2Q", _guard_margin),
    )
    for what, margin in checks:
        short = [row for row in rows if margin(row) < 0]
        names = ", ".join(f"{r['trace']} {r['fraction']:.0%} {r['capacity_kind']} {r['algorithm']}" for r in short)
        yield f"- {what}: {len(short)} of {len(rows)}{': ' * bool(short)}{names}"


def _guard_margin(row: dict[str, Any]) -> float:
    margin: float = row["guarded"] - row["guarded_against"] + 0.005
    return margin


if __name__ == "__main__":
    main(__doc__, add_options, measure, table)
