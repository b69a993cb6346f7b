"""The network that decides on a miss, as the compiled replay runs it: one score an action, the highest is taken."""

from typing import NamedTuple

import numpy as np

from cachesim.compiled import allocating_kernel, kernel, vector_kernel
from cachesim.features.table import Float32Array, Normaliser, transform
from schemas.trace import FloatArray


class Decider(NamedTuple):
    """The network as arrays: f -> h -> h -> actions with ReLU."""

    normaliser: Normaliser
    first: Float32Array  # (h, f)
    first_bias: Float32Array  # (h,)
    second: Float32Array  # (h, h)
    second_bias: Float32Array  # (h,)
    last: Float32Array  # (actions, h)
    last_bias: Float32Array  # (actions,)


class Work(NamedTuple):
    """Working memory for one decision."""

    row: Float32Array  # (f,), raw features
    seen: Float32Array  # (f,), what the network sees of them
    one: Float32Array  # (h,)
    two: Float32Array  # (h,)
    scores: Float32Array  # (actions,)


def build_decider(normaliser: Normaliser, *weights: Float32Array | FloatArray) -> Decider:
    """Return a copy of the network; the weights in the order of `Decider`."""
    return Decider(normaliser, *(np.array(array, np.float32, order="C") for array in weights))


def always(action: int, n_features: int, actions: int, normaliser: Normaliser) -> Decider:
    """Return the network that takes the same action whatever it sees."""
    none = np.zeros((1, n_features)), np.zeros(1), np.zeros((1, 1)), np.zeros(1), np.zeros((actions, 1))
    return build_decider(normaliser, *none, np.eye(actions)[action])


def workspace(decider: Decider) -> Work:
    """Return the memory for decisions."""
    sizes = (decider.first.shape[1], decider.first.shape[1], *decider.second.shape, decider.last.shape[0])
    return Work(*(np.zeros(size, np.float32) for size in sizes))


@kernel
def decide(decider, work):  # type: ignore[no-untyped-def]
    """Return the action of the highest score for the raw features in `work.row`, the first of equals."""
    for i in range(work.row.size):
        work.seen[i] = work.row[i]
    transform(work.seen, decider.normaliser)
    _layer(decider.first, decider.first_bias, work.seen, work.one, np.float32(0))
    _layer(decider.second, decider.second_bias, work.one, work.two, np.float32(0))
    _layer(decider.last, decider.last_bias, work.two, work.scores, np.float32(-np.inf))
    return np.argmax(work.scores)


@vector_kernel
def _layer(weights, bias, x, out, floor):  # type: ignore[no-untyped-def]
    """Write max(weights @ x + bias, floor) to `out`."""
    for o in range(out.size):
        y = np.float32(0)
        for i in range(x.size):
            y += weights[o, i] * x[i]
        out[o] = max(y + bias[o], floor)


@allocating_kernel
def _scores(decider, raw, work, out):  # type: ignore[no-untyped-def]
    for j in range(raw.shape[0]):
        work.row[:] = raw[j]
        decide(decider, work)
        out[j] = work.scores


def scores_of(decider: Decider, raw: Float32Array) -> Float32Array:
    """Return the scores, float32 (n, actions), of raw feature rows (n, f), as the replay computes them."""
    out = np.zeros((raw.shape[0], decider.last.shape[0]), np.float32)
    _scores(decider, np.ascontiguousarray(raw, np.float32), workspace(decider), out)
    return out
