"""The scores of a bundle's policy: of which states they prove something, and how far two runtimes may differ."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from learning.bundle.torch_script import FloatArray
from schemas.errors import BundleError

TOLERANCE = 1e-5  # largest difference of a score, see `tolerance_of`


class Golden(NamedTuple):
    """States whose scores are known.

    Attributes:
        inputs: float32 [g, K, f], raw; NaN = unknown. Of a decision on a miss K = 1.
        scores: float32 [g, K], or [g, actions] of a decision on a miss.
    """

    inputs: FloatArray
    scores: FloatArray

    @property
    def rows(self) -> FloatArray:
        """The inputs one below the other, float32 [g * K, f]."""
        return self.inputs.reshape(-1, self.inputs.shape[2])

    def scored_by(self, score: Callable[[FloatArray], FloatArray]) -> FloatArray:
        """Return what `score`, [n, f] -> [n] or [n, actions], gives for them, in the shape of `scores`."""
        return score(self.rows).reshape(self.scores.shape)


def tolerance_of(scores: FloatArray) -> float:
    """Return by how much a score may differ between runtimes: `TOLERANCE` of the largest of `scores`, or of 1.

    A small score can be the difference of large parts, so that its own size does not tell how exact it can be.
    """
    return TOLERANCE * max(1.0, float(np.abs(scores).max()))


def check_shapes(states: FloatArray, reference: FloatArray, n_features: int) -> None:
    """Raise BundleError unless `states` [g, K, n_features] and `reference` [g, K] or [g, actions] prove something."""
    if states.ndim != 3 or 0 in states.shape or states.shape[2] != n_features:
        raise BundleError(f"states must be [n_states, K, {n_features}] as the features described, got {states.shape}")
    of_actions = states.shape[1] == 1 and reference.ndim == 2 and len(reference) == len(states)
    if reference.shape != states.shape[:2] and not (of_actions and reference.size):
        raise BundleError(f"reference_scores must be {states.shape[:2]} as the states, got {reference.shape}")
    if np.isinf(states).any():
        raise BundleError("states hold an infinite feature; give NaN for unknown")
    if not np.isfinite(reference).all():
        raise BundleError("the trained policy scores some states NaN or infinite; train it again at a lower rate")


def require_close(what: str, scores: FloatArray, reference: FloatArray) -> None:
    """Raise BundleError, naming `what`, unless `scores` are those of `reference` but for `tolerance_of`."""
    if scores.shape != reference.shape:
        raise BundleError(f"{what}: gives scores of shape {scores.shape} instead of {reference.shape}")
    difference = np.abs(scores - reference)
    if not (difference <= tolerance_of(reference)).all():  # also when one is NaN
        state, number = np.unravel_index(np.argmax(np.nan_to_num(difference, nan=np.inf)), difference.shape)
        got, expected = scores[state, number], reference[state, number]
        raise BundleError(f"{what}: state {state}, score {number} is {got:.7g} instead of {expected:.7g}")
