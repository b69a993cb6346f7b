"""Replay of a trace with a learned policy in charge."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cachesim.eviction.caches import create_caches, replay_until
from cachesim.eviction.scorer import Scorer
from cachesim.miss.decider import Decider
from cachesim.miss.replay import replay_decided
from cachesim.policies.learned import SERVING_CANDIDATES
from learning.problem import CacheProblem

Hits = NDArray[np.bool_]
"""Shape (n_requests,): which requests hit."""


def replay_policy(problem: CacheProblem, policy: Scorer | Decider, seed: int) -> Hits:
    """Return which requests hit, bool (n,), with the learned policy in charge from an empty cache on."""
    if problem.setting is not None:
        assert isinstance(policy, Decider)
        return replay_decided(problem.setting, policy, seed).hit
    assert isinstance(policy, Scorer)
    hit = np.zeros(len(problem.trace), np.bool_)
    cache = create_caches(problem.stream, problem.trace.n_keys, 1, seed)
    replay_until(cache, 0, problem.stream, len(problem.trace), policy, SERVING_CANDIDATES, hit)
    return hit


def learned_options(problem: CacheProblem, scorer: Scorer) -> dict[str, Any]:
    """Return the options of policy `learned` with which the scorer decides as in training and evaluation."""
    return {
        "scorer": scorer,
        "capacity_objects": problem.fitted.objects,
        "missing": problem.fitted.missing,
        "history_multiple": problem.history_multiple,
        "stride": problem.stream.stride,
    }
