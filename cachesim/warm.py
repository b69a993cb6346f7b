"""Compiles the kernels of all policies, for a process that will need them soon: `python -m cachesim.warm`."""

import numpy as np

from cachesim.capacity import Capacity
from cachesim.features import FEATURES, raw_normaliser
from cachesim.replay import POLICIES, replay
from cachesim.scorer import build_scorer
from cachesim.synthetic import energy_trace


def compile_policies() -> None:
    """Replay a few requests with each policy that `train` judges, which compiles what is not compiled yet.

    The guarded one comes last: the kernels that it shares with training are compiled there meanwhile.
    """
    trace, capacity = energy_trace(10, seed=0), Capacity(2, "objects")
    for policy in POLICIES:
        replay(trace, policy, capacity)
    one = np.zeros(1, np.float32)
    scorer = build_scorer(
        raw_normaliser(len(FEATURES)), np.zeros((1, len(FEATURES)), np.float32), one, one[:, None], one, one, one
    )
    replay(trace, "guarded", capacity, scorer=scorer, capacity_objects=2.0, missing=one)


if __name__ == "__main__":
    compile_policies()
