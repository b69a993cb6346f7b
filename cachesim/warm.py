"""Compiles the kernels of all policies, for a process that will need them soon: `python -m cachesim.warm`."""

import numpy as np

from cachesim.capacity import Capacity
from cachesim.features import FEATURES
from cachesim.replay import POLICIES, replay
from cachesim.rollout import oldest_first
from cachesim.synthetic import energy_trace


def compile_policies() -> None:
    """Replay a few requests with each policy that `train` judges, which compiles what is not compiled yet.

    The guarded one comes last: the kernels that it shares with training are compiled there meanwhile.
    """
    trace, capacity = energy_trace(10, seed=0), Capacity(2, "objects")
    for policy in POLICIES:
        replay(trace, policy, capacity)
    scorer, missing = oldest_first(len(FEATURES)), np.zeros(1, np.float32)
    replay(trace, "guarded", capacity, scorer=scorer, capacity_objects=2.0, missing=missing)


if __name__ == "__main__":
    compile_policies()
