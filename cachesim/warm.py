"""Compiles kernels for a process that will need them soon: `python -m cachesim.warm`."""

import numpy as np

from cachesim.capacity import Capacity
from cachesim.features import FEATURES
from cachesim.replay import POLICIES, replay
from cachesim.rollout import Decisions, build_oracle, kept_requests, oldest_first
from cachesim.sampled import build_stream
from cachesim.synthetic import energy_trace


def compile_decisions() -> None:
    """Make a few decisions of an eviction, as training does, which compiles what is not compiled yet."""
    trace, capacity = energy_trace(200, seed=0), Capacity(5, "objects")
    oracle = build_oracle(trace, capacity, np.ones(len(trace)), kept_requests(trace, capacity))
    stream = build_stream(trace, capacity, len(trace))
    decisions = Decisions(stream, oracle, trace.n_keys, batch=2, candidates=2, seed=0)
    decisions.resync(oldest_first(decisions.n_features))
    decisions.reset()
    decisions.step(np.zeros(2, np.int64))


def compile_policies() -> None:
    """Replay a few requests with each policy that `train` judges, which compiles what is not compiled yet."""
    trace, capacity = energy_trace(10, seed=0), Capacity(2, "objects")
    for policy in POLICIES:
        replay(trace, policy, capacity)
    scorer, missing = oldest_first(len(FEATURES)), np.zeros(1, np.float32)
    replay(trace, "guarded", capacity, scorer=scorer, capacity_objects=2.0, missing=missing)


if __name__ == "__main__":
    compile_decisions()  # first: training begins with them, and needs the policies at its end
    compile_policies()
