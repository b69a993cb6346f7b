"""Traffic on which the right choice is plain, and the problem that it poses."""

import numpy as np
import pytest

from learning.problem import CacheProblem, build_problem
from schemas.config import TrainConfig
from schemas.trace import Trace

HOT_OBJECTS = 100


@pytest.fixture(scope="session")
def hot_trace() -> Trace:
    """12,000 requests, one half for 100 objects of equal popularity, the other half for objects never seen again."""
    n, rng = 12_000, np.random.default_rng(0)
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
def hot_problem(hot_trace: Trace) -> CacheProblem:
    """A cache of 80 objects for it: at best four fifths of the hot half can hit."""
    return build_problem(hot_trace, TrainConfig(cache_size=80))
