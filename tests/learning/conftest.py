"""Traffic on which the right choice is plain, the problem that it poses, and an exported bundle."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cachesim.capacity import Capacity
from cachesim.eviction.caches import build_stream
from cachesim.eviction.decisions import Decisions, build_oracle, oldest_first
from cachesim.features.table import fit_normaliser
from cachesim.miss.decisions import DrawnDecisions
from cachesim.miss.problem import ttl_setting
from cachesim.traffic.energy import energy_trace
from envs.vector import DecisionVecEnv
from learning.problem import CacheProblem, build_problem
from learning.training.initial_decisions import PARALLEL_CACHES
from schemas.options.train import TrainConfig
from schemas.trace import Trace
from tests.learning.bundle.bundles import export

HOT_OBJECTS = 100


def hot_requests(seed: int = 0) -> Trace:
    """12,000 requests, one half for 100 objects of equal popularity, the other half for objects never seen again."""
    n, rng = 12_000, np.random.default_rng(seed)
    keys = np.where(rng.random(n) < 0.5, rng.integers(0, HOT_OBJECTS, n), HOT_OBJECTS + np.arange(n))
    return Trace(
        key=keys,
        timestamp_s=np.arange(n, dtype=np.float64),
        size_bytes=1 + keys % 50,
        load_time_ms=np.full(n, np.nan, np.float32),
        endpoint=np.zeros(n, np.int32),
        n_keys=HOT_OBJECTS + n,
    )


@pytest.fixture(scope="session")
def hot_trace() -> Trace:
    """The requests that most tests here learn from."""
    return hot_requests()


@pytest.fixture(scope="session")
def hot_problem(hot_trace: Trace) -> CacheProblem:
    """A cache of 80 objects for it: at best four fifths of the hot half can hit."""
    return build_problem(hot_trace, TrainConfig(cache_size=80))


def eviction_env() -> DecisionVecEnv:
    """64 caches of 40 objects on 3,000 synthetic requests, 8 candidates a decision."""
    trace, capacity = energy_trace(3_000, seed=1), Capacity(40, "objects")
    oracle = build_oracle(trace, capacity, np.ones(len(trace)), 300.0)
    stream = build_stream(trace, capacity, len(trace))
    decisions = Decisions(stream, oracle, trace.n_keys, batch=PARALLEL_CACHES, candidates=8, seed=0)
    decisions.resync(oldest_first(decisions.n_features))
    rows = decisions.reset().reshape(-1, decisions.n_features)
    decisions.normaliser = fit_normaliser(rows, trace.column_names, 40.0)
    return DecisionVecEnv(decisions)


def ttl_env() -> DecisionVecEnv:
    """64 misses at a time of a cache of 40 objects on 3,000 synthetic requests, 15 times to live to choose from."""
    trace = energy_trace(3_000, seed=1)
    setting = ttl_setting(trace, len(trace), Capacity(40, "objects"), np.ones(len(trace)))
    return DecisionVecEnv(DrawnDecisions(setting, len(trace), batch=PARALLEL_CACHES, seed=0))


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a small policy; to be left as it is."""
    return export(tmp_path_factory.mktemp("bundles") / "b1", n_states=10_000)


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(exported, tmp_path / "copy"))
