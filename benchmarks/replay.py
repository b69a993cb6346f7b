"""How fast requests are replayed, beside libCacheSim; and how fast and large the learned policy is.

    python -m benchmarks.replay [--json] [--policies lru arc] [--traces orm_busy] [--rounds 5]

Ours and libCacheSim's replays alternate; each counts with the best of its rounds. Ours starts from arrays and gives the
counts and which requests hit; libCacheSim's starts from its binary trace file in the page cache (hash table of 2^18).
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import main, markdown, progress
from benchmarks.peer import PEERS, replay_seconds, write_oracle_general
from benchmarks.traces import shared_trace
from benchmarks.training import trained
from cachesim.cache import Cache
from cachesim.capacity import Capacity
from cachesim.eviction.caches import create_caches, replay_until
from cachesim.eviction.decisions import Decisions, build_oracle
from cachesim.replay import BOUNDS, replay
from learning.problem import build_problem
from schemas.options.train import TrainConfig
from schemas.trace import Trace

TRACES = ("orm_busy", "w106_block")
FRACTIONS = (0.01, 0.1)
LEARNED_TRACE, LEARNED_FRACTION, CANDIDATES = "orm_busy", 0.01, 16
TRAINING_STEPS = 50_000
ENVIRONMENT_TRACE, ENVIRONMENT_STEPS, PARALLEL_CACHES = "web12", 2_000, 64


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--traces", nargs="+", default=TRACES, help="names of shared traces")
    parser.add_argument("--policies", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--rounds", type=int, default=5, help="replays of each, the best of which counts")
    parser.add_argument("--only-policies", action="store_true", help="leave out the learned policy and the environment")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return requests/s of each policy, of ours and of libCacheSim's, and what there is to say of the learned one."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.traces:
            trace, path = shared_trace(name), Path(folder) / name
            write_oracle_general(trace, path)
            for fraction in FRACTIONS:
                capacity = Capacity.resolve(trace, fraction=fraction)
                for policy in options.policies:
                    progress(f"{name} {capacity.limit} {policy}")
                    rows.append(_row(name, trace, path, policy, capacity, options.rounds))
    if options.only_policies:
        return {"rows": rows}
    return {"rows": rows, "learned": _learned(options.rounds), "environment": _environment(options.rounds)}


def _row(name: str, trace: Trace, path: Path, policy: str, capacity: Capacity, rounds: int) -> dict[str, Any]:
    ours, peers = [], []
    hit_ratio = float(replay(trace, policy, capacity).hit.mean())  # compiles
    for _ in range(rounds):
        started = time.perf_counter()
        replay(trace, policy, capacity)
        ours.append(time.perf_counter() - started)
        peers.append(replay_seconds(path, policy, capacity))
    ours_rps, peer_rps = len(trace) / min(ours), len(trace) / min(seconds for seconds, _ in peers)
    return {
        "trace": name,
        "capacity": capacity.limit,
        "policy": policy,
        "ours_rps": round(ours_rps),
        "peer_rps": round(peer_rps),
        "ratio": round(ours_rps / peer_rps, 3),
        "ours_hit_ratio": round(hit_ratio, 6),
        "peer_hit_ratio": round(peers[0][1], 6),
        "state_bytes_per_resident": None if policy in BOUNDS else _bytes_per_resident(trace, Cache(policy, capacity)),
    }


def _bytes_per_resident(trace: Trace, cache: Cache) -> int:
    cache.replay(trace)
    return round(cache.state_bytes / max(1, cache.counts.resident_objects))


def _learned(rounds: int) -> dict[str, Any]:
    """Replay with a policy that was trained for a while, seed 0."""
    progress(f"train on {LEARNED_TRACE}")
    config = TrainConfig(algorithm="a2c", cache_fraction=LEARNED_FRACTION, timesteps=TRAINING_STEPS)
    problem = build_problem(shared_trace(LEARNED_TRACE), config)
    scorer = trained(problem, config)
    progress("replay the learned policy")
    seconds, hit = [], np.zeros(len(problem.trace), np.bool_)
    for _ in range(rounds + 1):
        cache = create_caches(problem.stream, problem.trace.n_keys, 1, 0)
        hit[:] = False
        started = time.perf_counter()
        replay_until(cache, 0, problem.stream, len(problem.trace), scorer, CANDIDATES, hit)
        seconds.append(time.perf_counter() - started)
    live = Cache(
        "learned",
        problem.capacity,
        scorer=scorer,
        capacity_objects=problem.fitted.objects,
        missing=problem.fitted.missing,
        candidates=CANDIDATES,
    )
    return {
        "trace": LEARNED_TRACE,
        "capacity": problem.capacity.limit,
        "candidates": CANDIDATES,
        "hit_ratio": round(float(hit.mean()), 6),
        "rps": round(len(hit) / min(seconds)),
        "us_per_miss": round(min(seconds) / float((~hit).sum()) * 1e6, 3),
        "state_bytes_per_resident": _bytes_per_resident(problem.trace, live),
    }


def _environment(rounds: int) -> dict[str, Any]:
    """Step 64 caches with random actions: the decisions and their rewards, without any learning."""
    progress(f"environment steps on {ENVIRONMENT_TRACE}")
    config = TrainConfig(cache_fraction=0.01)
    problem = build_problem(shared_trace(ENVIRONMENT_TRACE), config)
    age = problem.eviction_age_requests
    oracle = build_oracle(problem.span, problem.capacity, problem.values[: problem.training], age)
    stream, n_keys = problem.training_stream, problem.trace.n_keys
    decisions = Decisions(stream, oracle, n_keys, batch=PARALLEL_CACHES, candidates=CANDIDATES, seed=0)
    decisions.start_empty()
    decisions.reset()
    actions = np.random.default_rng(0).integers(0, CANDIDATES, (ENVIRONMENT_STEPS, PARALLEL_CACHES))
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        for action in actions:
            decisions.step(action)
        seconds.append(time.perf_counter() - started)
    return {
        "trace": ENVIRONMENT_TRACE,
        "capacity": problem.capacity.limit,
        "parallel_caches": PARALLEL_CACHES,
        "candidates": CANDIDATES,
        "steps_per_s": round(actions.size / min(seconds)),
    }


def table(result: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    names = ("trace", "objects", "policy", "ours, M requests/s", "libCacheSim", "ratio", "bytes/resident")
    cells = (
        (
            row["trace"],
            row["capacity"],
            row["policy"],
            f"{row['ours_rps'] / 1e6:.1f}",
            f"{row['peer_rps'] / 1e6:.1f}",
            f"{row['ratio']:.2f}",
            row["state_bytes_per_resident"] or "-",
        )
        for row in result["rows"]
    )
    lines = [markdown(names, cells)]
    for name in ("learned", "environment"):
        if name in result:
            lines += ["", f"{name}: " + ", ".join(f"{key} {value}" for key, value in result[name].items())]
    return "\n".join(lines)


if __name__ == "__main__":
    main(__doc__, add_options, measure, table)
