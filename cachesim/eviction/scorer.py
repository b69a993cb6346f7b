"""The network of a learned policy, as the compiled replay runs it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import allocating_kernel, vector_kernel
from cachesim.features.table import Float32Array, Normaliser, transform

BLOCK = 4  # candidates that are scored together, so that a weight is read once for all of them
LANES = 8  # inputs that the processor takes at a time


class Scorer(NamedTuple):
    """The network as arrays: f -> h -> h -> 1 with ReLU; the candidate with the highest score is dropped.

    The inputs of a layer are filled up with zeros to p and q, the next multiples of LANES.
    """

    normaliser: Normaliser
    first: Float32Array  # (h, p)
    first_bias: Float32Array  # (h,)
    second: Float32Array  # (h, q)
    second_bias: Float32Array  # (h,)
    last: Float32Array  # (h,)
    last_bias: Float32Array  # (1,)


class Workspace(NamedTuple):
    """Working memory for one decision among k candidates."""

    candidates: NDArray[np.int64]  # (k,)
    rows: Float32Array  # (k, p), 0 beyond the features
    hidden: Float32Array  # (BLOCK, q), 0 beyond the units
    scores: Float32Array  # (k,)


def build_scorer(
    normaliser: Normaliser,
    first: Float32Array,
    first_bias: Float32Array,
    second: Float32Array,
    second_bias: Float32Array,
    last: Float32Array,
    last_bias: Float32Array,
) -> Scorer:
    """Return a copy of the network.

    Args:
        normaliser: of the f features.
        first: shape (h, f), weights of the first layer, one row a unit.
        first_bias: shape (h,).
        second: shape (h, h).
        second_bias: shape (h,).
        last: shape (h,).
        last_bias: shape (1,).
    """
    biases = (np.array(values, np.float32) for values in (first_bias, second_bias, last, last_bias))
    one, two, three, four = biases
    return Scorer(normaliser, _filled_up(first), one, _filled_up(second), two, three, four)


def _filled_up(weights: Float32Array) -> Float32Array:
    width = weights.shape[1]
    filled = np.zeros((weights.shape[0], width + -width % LANES), np.float32)
    filled[:, :width] = weights
    return filled


@allocating_kernel
def workspace(scorer, n_candidates):  # type: ignore[no-untyped-def]
    """Return the memory for decisions among `n_candidates`."""
    return Workspace(
        candidates=np.zeros(n_candidates, np.int64),
        rows=np.zeros((n_candidates, scorer.first.shape[1]), np.float32),
        hidden=np.zeros((BLOCK, scorer.second.shape[1]), np.float32),
        scores=np.zeros(n_candidates, np.float32),
    )


@vector_kernel
def score(scorer, rows, hidden, scores):  # type: ignore[no-untyped-def]
    """Write the scores of transformed feature rows (k, p) to `scores` (k,); `hidden` (BLOCK, q) is working memory.

    The last block repeats its last row when k is no multiple of BLOCK.
    """
    end = rows.shape[0] - 1
    for j0 in range(0, rows.shape[0], BLOCK):
        j1, j2, j3 = min(j0 + 1, end), min(j0 + 2, end), min(j0 + 3, end)
        for o in range(scorer.last.size):
            a, b, c, d = _dots(rows[j0], rows[j1], rows[j2], rows[j3], scorer.first[o], scorer.first_bias[o])
            hidden[0, o], hidden[1, o], hidden[2, o], hidden[3, o] = a, b, c, d
        score0 = score1 = score2 = score3 = scorer.last_bias[0]
        for o in range(scorer.last.size):
            a, b, c, d = _dots(hidden[0], hidden[1], hidden[2], hidden[3], scorer.second[o], scorer.second_bias[o])
            weight = scorer.last[o]
            score0 += a * weight
            score1 += b * weight
            score2 += c * weight
            score3 += d * weight
        scores[j0], scores[j1], scores[j2], scores[j3] = score0, score1, score2, score3


@vector_kernel
def _dots(x0, x1, x2, x3, weights, bias):  # type: ignore[no-untyped-def]
    """Return the outputs of one unit for four inputs."""
    zero = np.float32(0)
    a = b = c = d = zero
    for i in range(weights.size):
        a += x0[i] * weights[i]
        b += x1[i] * weights[i]
        c += x2[i] * weights[i]
        d += x3[i] * weights[i]
    return max(a + bias, zero), max(b + bias, zero), max(c + bias, zero), max(d + bias, zero)


@allocating_kernel
def score_raw(scorer, raw):  # type: ignore[no-untyped-def]
    """Return the scores (n,) of raw feature rows (n, f), as the replay computes them."""
    work = workspace(scorer, raw.shape[0])
    work.rows[:, : raw.shape[1]] = raw
    for j in range(raw.shape[0]):
        transform(work.rows[j], scorer.normaliser)
    score(scorer, work.rows, work.hidden, work.scores)
    return work.scores
