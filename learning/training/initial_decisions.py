"""The decisions that a training begins with: of a cache that drops the oldest, or serves what it fetched for ever."""

import numpy as np
from numpy.typing import NDArray

from cachesim.eviction.decisions import Decisions, build_oracle, oldest_first
from cachesim.features.table import Float32Array, fit_normaliser
from cachesim.miss.decisions import DrawnDecisions
from envs import vector
from learning.problem import CacheProblem

PARALLEL_CACHES = 64
TRAINING_CANDIDATES = 16
NORMALISER_STEPS = 64  # of 64 caches and 16 candidates: 65,536 rows


def first_decisions(
    problem: CacheProblem, seed: int, end: int, candidates: int | None = None
) -> tuple[vector.Decisions, NDArray[np.bool_]]:
    """Return a batch of `PARALLEL_CACHES` decisions, and which requests of the training span hit in that first cache.

    Args:
        problem: what is to be learned.
        seed: of all that is drawn.
        end: decisions are made before this request.
        candidates: of an eviction, >= 2; None = `TRAINING_CANDIDATES`.

    Raises:
        GateError: the training span leaves nothing to decide.
    """
    if problem.setting is not None:
        drawn = DrawnDecisions(problem.setting, end, batch=PARALLEL_CACHES, seed=seed)
        return drawn, drawn.first_hit
    return _evictions(problem, seed, end, candidates or TRAINING_CANDIDATES)


def _evictions(problem: CacheProblem, seed: int, end: int, candidates: int) -> tuple[Decisions, NDArray[np.bool_]]:
    span, values = problem.span, problem.values[: problem.training]
    oracle = build_oracle(span, problem.capacity, values, problem.eviction_age_requests, horizon=problem.horizon)
    decisions = Decisions(
        problem.training_stream,
        oracle._replace(end=min(oracle.end, end)),
        span.n_keys,
        batch=PARALLEL_CACHES,
        candidates=candidates,
        seed=seed,
    )
    hit = decisions.resync(oldest_first(decisions.n_features))
    rows = _random_rows(decisions, np.random.default_rng(seed))
    decisions.normaliser = fit_normaliser(rows, span.column_names, problem.served_capacity.mean_objects(span))
    return decisions, hit


def _random_rows(decisions: Decisions, rng: np.random.Generator) -> Float32Array:
    """Return raw feature rows (n, f) that a cache meets on the training span."""
    batch, candidates, n_features = decisions.rows.shape
    decisions.reset()
    rows = []
    for _ in range(NORMALISER_STEPS):
        decisions.step(rng.integers(0, candidates, batch))
        rows.append(decisions.rows.reshape(-1, n_features).copy())
    return np.concatenate(rows)
