"""The last part of the training span, to see how a policy does on the latest requests that may be looked at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.problem import CacheProblem
from schemas.options.train import TrainConfig


@dataclass(frozen=True)
class Validation:
    """Judges replays of the training span on its last part.

    By default decisions are learned from there too: what is newest is worth most, and keeping it back cost more than
    the better judgement brought (docs/decisions/0011). Held back or not, the rewards of earlier decisions look into it.

    Attributes:
        problem: what is learned.
        start: first request of the part; the length of the span when there is none.
        held_back: whether no decision is made in the part.
        weighted: whether hits are not worth the same, as they weigh differently or stale ones count less.
    """

    problem: CacheProblem
    start: int
    held_back: bool
    weighted: bool

    @classmethod
    def of(cls, problem: CacheProblem, config: TrainConfig) -> "Validation":
        """Return that of a training with `config`."""
        start = int((1 - config.validation_fraction) * problem.training)
        return cls(problem, start, config.hold_back, bool(config.cache_weights or problem.staleness_weight))

    def curves(self, hit: NDArray[np.bool_]) -> dict[str, float]:
        """Return the points of the curves that a replay of the span, bool (n,), gives."""
        found = {"training_hit_ratio": float(hit.mean())}
        judged = self.problem.score(hit, self._part)
        if judged.hit_ratio is not None:
            found["validation_hit_ratio"] = judged.hit_ratio
        if self.weighted and judged.value_ratio is not None:
            found["validation_value_ratio"] = judged.value_ratio
        return found

    @property
    def decisions_end(self) -> int:
        """Decisions to learn from are made before this request."""
        return self.start if self.held_back else self.problem.training

    @property
    def decisive(self) -> str:
        """The name of the curve that a policy is picked by."""
        return "validation_value_ratio" if self.weighted else "validation_hit_ratio"

    @property
    def _part(self) -> slice:
        return slice(self.start, self.problem.training)
