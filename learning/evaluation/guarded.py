"""The guarded policy on a cache problem: what it hits, and whom it follows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cachesim.eviction.scorer import Scorer
from cachesim.policies.guard import guarded
from cachesim.policies.guard.guarded import Leadership, leadership
from cachesim.replay import begin
from cachesim.requests import chunks
from learning.problem import CacheProblem
from learning.run_policy import learned_options


@dataclass(frozen=True)
class GuardedReplay:
    """A replay from an empty cache on.

    Attributes:
        hit: bool (n,), which requests hit.
        training: whom the cache followed on the training span.
        held_out: whom it followed on the held-out span.
    """

    hit: NDArray[np.bool_]
    training: Leadership
    held_out: Leadership


def replay_guarded(problem: CacheProblem, scorer: Scorer, seed: int) -> GuardedReplay:
    """Replay the whole trace with the guard in charge of the scorer, which decides as `replay_policy` lets it.

    When the trace is a sample of the keys, cache and shadows are those of the sample, as everywhere in its evaluation.

    The network takes part in the race from the first held-out request on: what it hits where it was trained proves
    nothing. The others race all the time.

    Args:
        problem: trace, capacity and objective.
        scorer: the network, trained for the problem.
        seed: the same seed draws the same candidates and victims.
    """
    trace, hit = problem.trace, np.zeros(len(problem.trace), np.bool_)
    state = begin(trace, "guarded", problem.capacity, seed, **guarded_options(problem, scorer))
    training = leadership(state)
    for span, requests in chunks(trace, problem.capacity, stops=[problem.training]):
        guarded.replay(state, requests, hit[span])
        if span.stop == problem.training:
            training = leadership(state)
    return GuardedReplay(hit, training, leadership(state) - training)


def guarded_options(problem: CacheProblem, scorer: Scorer) -> dict[str, Any]:
    """Return the options of policy `guarded` with which the scorer decides as in training and evaluation."""
    options = learned_options(problem, scorer)
    return {**options, "objective": problem.objective, "trained_requests": problem.training}
