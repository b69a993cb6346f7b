"""The judgement of a decision on misses: the policy and what it is compared with, on requests that it has not seen."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cachesim.decided import replay_decided
from cachesim.decider import Decider
from cachesim.lifetimes import best_fixed, visits_of
from cachesim.metrics import Score, score
from cachesim.replay import BASELINES, replay
from cachesim.rollout import kept_requests
from cachesim.setting import Setting
from schemas.errors import GateError
from schemas.trace import FloatArray

FINER = 3  # fixed times to live that are tried between two of the ladder


@dataclass(frozen=True)
class DecisionEvaluation:
    """Scores on the held-out span, each cache warmed by the requests before it.

    Attributes:
        policy: the learned decision's.
        baselines: by name. Of admission the classical policies, of ttl fixed times to live with the same eviction,
            `ttl <seconds>`, and `ttl by endpoint`, each endpoint's best fixed one on the training span.
        staleness_weight: of the net value, see `Score.net_value_ratio`.
    """

    policy: Score
    baselines: dict[str, Score]
    staleness_weight: float

    @property
    def best_baseline(self) -> str:
        """The baseline of the highest net value, known in hindsight only."""
        return max(self.baselines, key=lambda name: self.net(self.baselines[name]))

    def net(self, judged: Score) -> float:
        """Return the net value ratio of a score; 0 where nothing was worth anything."""
        return judged.net_value_ratio(self.staleness_weight) or 0.0


def evaluate_decision(setting: Setting, decider: Decider, seed: int) -> DecisionEvaluation:
    """Replay the whole trace with the network and with each baseline; score the held-out span.

    Raises:
        GateError: no hit on the held-out span is worth anything, so nothing can be compared.
    """
    trace, held_out = setting.trace, slice(setting.training, len(setting.trace))
    if not setting.values[held_out].any():
        raise GateError("cache_weights: no hit on the held-out requests is worth anything; weigh another column")

    def judged(hit: NDArray[np.bool_]) -> Score:
        return score(trace, hit, held_out, setting.values)

    def fixed(ttl_s: float | FloatArray) -> Score:
        return judged(replay(trace, setting.eviction, setting.capacity, ttl_s=ttl_s, seed=seed).hit)

    if setting.decision == "admission":
        baselines = {name: judged(replay(trace, name, setting.capacity, seed=seed).hit) for name in BASELINES}
    else:
        baselines = {f"ttl {ttl_s:g}": fixed(float(ttl_s)) for ttl_s in finer(setting.ladder_s)}
        baselines["ttl by endpoint"] = fixed(fixed_by_endpoint(setting)[trace.endpoint])
    policy = judged(replay_decided(setting, decider, seed).hit)
    return DecisionEvaluation(policy, baselines, setting.staleness_weight if setting.every_miss else 0.0)


def fixed_by_endpoint(setting: Setting) -> FloatArray:
    """Return for each endpoint the fixed time to live that gains most on the training span, in seconds."""
    span, values = setting.span, setting.values[: setting.training]
    visits = visits_of(span, values, kept_requests(span, setting.capacity))
    chosen: FloatArray = setting.ladder_s[best_fixed(span, visits, setting.ladder_s, setting.staleness_weight)]
    return chosen


def finer(ladder_s: FloatArray) -> Sequence[float]:
    """Return the times to live of a ladder and `FINER` more between each two that are above 0 and finite."""
    rungs: list[float] = ladder_s.tolist()
    for low, high in itertools.pairwise(ladder_s):
        if low > 0 and np.isfinite(high):
            rungs += np.geomspace(low, high, FINER + 2)[1:-1].tolist()
    return sorted(rungs)
