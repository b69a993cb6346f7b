"""Learning that goes on while the later traffic runs, from decisions whose outcome has become known.

The frozen policy is what the training span taught. This one starts as the frozen one and follows the traffic: 300 times
over a span it takes a few gradient steps on decisions that are older than most objects stay, and a moving
average of its weights serves from then on. It never looks ahead. It is reported apart.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cachesim.eviction.caches import create_caches
from cachesim.eviction.decision_log import DecisionLog, empty_log, outcomes, replay_recording, settled
from cachesim.eviction.decisions import build_oracle
from cachesim.features.table import Float32Array, Normaliser
from cachesim.policies.learned import SERVING_CANDIDATES
from learning.networks import ScorerNet
from learning.problem import CacheProblem
from learning.threads import one_thread
from learning.training.losses import Loss

ROUNDS = 300  # between which the network that serves stays the same
UPDATES = 1_200  # gradient steps on the held-out span, or fewer where that is short:
REQUESTS_AN_UPDATE = 10  # at least
BATCH = 256  # decisions a step
LEARNING_RATE = 5e-4
MAX_GRADIENT_NORM = 0.5
AVERAGING = 0.02  # weight of the newest network in the moving average that serves
SETTLED_EVICTION_AGES = 1.2  # after so many mean ages at eviction the outcome of a decision counts as known
LOG_DECISIONS = 16_384  # kept at most, whatever the traffic
LOG_EVICTION_AGES = 4.0  # the log spans at least so many


class OnlineLearner:
    """A scorer that goes on learning from judged decisions, in constant memory and time a round.

    Attributes:
        serving: the network to use, a moving average of the one that learns.
    """

    def __init__(self, net: ScorerNet, loss: Loss, seed: int) -> None:
        self.serving = copy.deepcopy(net)
        self._net, self._loss = copy.deepcopy(net), loss
        self._optimiser = torch.optim.Adam(self._net.parameters(), lr=LEARNING_RATE)
        self._rng = np.random.default_rng(seed)

    def draw(self, entries: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return `BATCH` of the entries, drawn at random."""
        return self._rng.choice(entries, BATCH)

    def step(self, rows: Float32Array, worths: Float32Array) -> None:
        """Take one gradient step.

        Args:
            rows: shape (m, k, f), transformed features of the candidates of m decisions.
            worths: shape (m, k), what keeping each candidate was worth.
        """
        self._optimiser.zero_grad()
        self._loss(self._net(torch.from_numpy(rows)), torch.from_numpy(worths)).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._net.parameters(), MAX_GRADIENT_NORM)
        self._optimiser.step()
        with torch.no_grad():
            for mean, new in zip(self.serving.parameters(), self._net.parameters(), strict=True):
                mean.lerp_(new, AVERAGING)


@dataclass(frozen=True)
class Continuation:
    """What came of going on.

    Attributes:
        hit: bool (n,), which requests hit, from an empty cache on; those after the span did not take place.
        net: what the policy has become.
    """

    hit: NDArray[np.bool_]
    net: ScorerNet


def go_on(
    problem: CacheProblem, net: ScorerNet, normaliser: Normaliser, loss: Loss, span: slice, updates: int, seed: int
) -> Continuation:
    """Replay the requests up to the end of `span` with `net` in charge, which goes on learning within the span.

    Args:
        problem: trace, capacity and objective.
        net: the policy to go on from.
        normaliser: of its features.
        loss: what it is to make small.
        span: requests at which it learns, by what was requested up to then.
        updates: gradient steps over the span, about; >= 0.
        seed: of the candidates and of the decisions that are drawn.
    """
    age_requests = problem.eviction_age_requests
    oracle = build_oracle(
        problem.trace, problem.capacity, problem.values, age_requests, problem.training, problem.horizon
    )
    learner, log, rounds = OnlineLearner(net, loss, seed), _log(problem), max(1, min(ROUNDS, updates))
    hit = np.zeros(len(problem.trace), np.bool_)
    cache = create_caches(problem.stream, problem.trace.n_keys, 1, seed)
    with one_thread():
        for end in np.linspace(span.start, span.stop, rounds + 1).astype(np.int64).tolist():
            scorer = learner.serving.compiled(normaliser)
            replay_recording(cache, 0, problem.stream, end, scorer, hit, log)
            known = settled(log, end - 1, SETTLED_EVICTION_AGES * age_requests)
            for _ in range(updates // rounds if known.size else 0):
                learner.step(*outcomes(log, learner.draw(known), oracle, end - 1))
    return Continuation(hit, learner.serving)


def replay_online(
    problem: CacheProblem, net: ScorerNet, normaliser: Normaliser, loss: Loss, seed: int
) -> NDArray[np.bool_]:
    """Return which requests hit, bool (n,), when the policy goes on learning on the held-out span; see `go_on`."""
    span = problem.held_out
    updates = min(UPDATES, (span.stop - span.start) // REQUESTS_AN_UPDATE)
    return go_on(problem, net, normaliser, loss, span, updates, seed).hit


def rehearse(
    problem: CacheProblem, net: ScorerNet, normaliser: Normaliser, loss: Loss, timesteps: int, seed: int
) -> ScorerNet:
    """Return the policy after it has gone over the later half of the training span, in order, as it would online.

    It is then what it would be had it been in use, fresh for what comes next (docs/decisions/0014). At most
    `timesteps` decisions are learned from.
    """
    later_half = slice(problem.training // 2, problem.training)
    return go_on(problem, net, normaliser, loss, later_half, timesteps // BATCH, seed).net


def _log(problem: CacheProblem) -> DecisionLog:
    """Return an empty log that will span `LOG_EVICTION_AGES`, however large the cache."""
    every = max(1, round(LOG_EVICTION_AGES * problem.eviction_age_requests / LOG_DECISIONS))
    return empty_log(LOG_DECISIONS, SERVING_CANDIDATES, len(problem.features), every)
