"""Compiles kernels for a process that will need them soon: `python -m cachesim.warm decisions`, or `policies`."""

import sys

import numpy as np

from cachesim.capacity import Capacity
from cachesim.eviction.caches import build_stream
from cachesim.eviction.decisions import Decisions, build_oracle, oldest_first
from cachesim.replay import POLICIES, lru_eviction_age_requests, replay
from cachesim.traffic.energy import energy_trace


def compile_decisions() -> None:
    """Make a few decisions of an eviction, as training does, and replay a guarded policy: this compiles the kernels."""
    trace, capacity = energy_trace(200, seed=0), Capacity(5, "objects")
    oracle = build_oracle(trace, capacity, np.ones(len(trace)), lru_eviction_age_requests(trace, capacity))
    stream = build_stream(trace, capacity, len(trace))
    decisions = Decisions(stream, oracle, trace.n_keys, batch=2, candidates=2, seed=0)
    scorer, missing = oldest_first(decisions.n_features), np.zeros(1, np.float32)
    decisions.resync(scorer)
    decisions.reset()
    decisions.step(np.zeros(2, np.int64))
    replay(trace, "guarded", capacity, scorer=scorer, capacity_objects=5.0, missing=missing)


def compile_policies() -> None:
    """Replay a few requests with each classical policy: this compiles the kernels."""
    trace, capacity = energy_trace(10, seed=0), Capacity(2, "objects")
    for policy in POLICIES:
        replay(trace, policy, capacity)


PARTS = {"decisions": compile_decisions, "policies": compile_policies}
"""Parts that can be compiled side by side."""

if __name__ == "__main__":
    PARTS[sys.argv[1]]()
