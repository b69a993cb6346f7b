"""Decisions on misses to learn from: drawn from those that a replay of the training span met.

Each decision is judged alone, so that their order does not matter: shuffled, a batch is as varied as the span.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cachesim.features.table import Float32Array, raw_normaliser
from cachesim.miss.decider import Decider, always
from cachesim.miss.problem import Setting
from cachesim.miss.replay import Contexts, Future, fit_decisions, seen_by
from schemas.errors import GateError
from schemas.trace import IntArray

MOST_CONTEXTS = 100_000  # decisions of one replay that are learned from
ADMITTED_SHARE = 0.1  # of the admissions, which are admitted for the sake of learning
NO_CHOICE = "the training span has no decision to learn from: every request hits, or nothing fits into the cache"


class DrawnDecisions:
    """A batch of decisions on misses, with the interface of `rollout.Decisions`.

    Attributes:
        normaliser: fitted to what a cache meets that always takes the last action.
        rows: float32 (batch, f), features, transformed by the normaliser.
        costs: float32 (batch, actions), what each action loses: its reward with the sign turned.
        first_hit: bool (n,), which requests of the span hit in the first replay, of that last action.

    Args:
        setting: what is decided, whose training span is learned from.
        end: decisions are made before this position of the span.
        batch: decisions a step.
        seed: of the draws.

    Raises:
        GateError: the training span has no decision to learn from.
    """

    def __init__(self, setting: Setting, end: int, *, batch: int, seed: int) -> None:
        self._setting, self._end = setting, end
        self._future = Future(setting.of_training)
        self._rng = np.random.default_rng(seed)
        self._done = np.zeros(batch, np.bool_)
        n_features, actions = len(setting.features), setting.ladder_s.size
        self.rows = np.zeros((batch, n_features), np.float32)
        self.costs = np.zeros((batch, actions), np.float32)
        self.normaliser = raw_normaliser(n_features)
        self.first_hit = self.resync(always(actions - 1, n_features, actions, self.normaliser))
        self.normaliser = fit_decisions(self._contexts.rows, setting)

    def resync(self, decider: Decider) -> NDArray[np.bool_]:
        """Replay the span with `decider` in charge and draw from the decisions that it meets from now on.

        Returns:
            bool (n,), which requests of the span hit in that replay.

        Raises:
            GateError: it met no decision.
        """
        setting, drawn = self._setting, int(self._rng.integers(2**31))
        share = ADMITTED_SHARE if setting.decision == "admission" else 1.0
        share = min(share, MOST_CONTEXTS / setting.training)
        self._contexts = self._future.contexts(decider, share, MOST_CONTEXTS, drawn, self._end)
        if len(self._contexts.rows) == 0:
            raise GateError(NO_CHOICE)
        return self._contexts.hit

    def reset(self) -> Float32Array:
        """Draw a batch and return `rows`."""
        contexts: Contexts = self._contexts
        drawn = self._rng.integers(0, len(contexts.rows), self._done.size)
        self.rows = seen_by(self.normaliser, contexts.rows[drawn])
        self.costs = -contexts.rewards[drawn]
        return self.rows

    def step(self, _: IntArray) -> NDArray[np.bool_]:
        """Draw the next batch; what was decided does not change it. No decision is the last one: bool (batch,)."""
        self.reset()
        return self._done

    def random_state(self) -> dict[str, Any]:
        """Return the state of all that draws at random here, as numbers and texts; `restore_random` takes it back."""
        return {"draws": self._rng.bit_generator.state}

    def restore_random(self, state: dict[str, Any]) -> None:
        """Go on drawing as after `random_state`."""
        self._rng.bit_generator.state = state["draws"]
