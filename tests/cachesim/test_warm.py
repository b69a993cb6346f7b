"""What is compiled ahead is what a training needs."""

import numpy as np

from cachesim.capacity import Capacity
from cachesim.eviction import decisions as rollout
from cachesim.policies.guard import guarded
from cachesim.replay import replay
from cachesim.traffic.energy import energy_trace
from cachesim.warm import compile_decisions
from learning.problem import build_problem
from learning.training.initial_decisions import first_decisions
from schemas.options.train import TrainConfig
from tests.models.learned.nets import options


def test_a_guard_of_a_trained_network_is_compiled_ahead() -> None:
    compile_decisions()
    kernel = guarded.replay
    ahead = kernel.signatures
    assert ahead
    net = options(20.0, n_endpoints=9)
    replay(energy_trace(50, seed=1), "guarded", Capacity(5, "objects"), **net)
    assert kernel.signatures == ahead


def test_the_decisions_that_a_training_begins_with_are_compiled_ahead() -> None:
    compile_decisions()
    kernels = (rollout._collect_starts, rollout._copy_cache, rollout._present_all, rollout._step_all)
    ahead = [list(kernel.signatures) for kernel in kernels]
    assert all(ahead)
    problem = build_problem(energy_trace(4_000, seed=5), TrainConfig(cache_size=60))
    decisions, _ = first_decisions(problem, seed=0, end=problem.training)
    decisions.reset()
    decisions.step(np.zeros(len(decisions.costs), np.int64))
    assert [list(kernel.signatures) for kernel in kernels] == ahead
