"""Decisions to learn from: a batch of caches on recorded requests, with rewards from the known future of the span.

The worth of keeping object i at time t is c_i = w_i / (1 + d_i / half_distance), where d_i is the distance to its next
request inside the span (c_i = 0 when there is none) and w_i what a hit on it is worth, per unit of capacity. Labels
near the end of the span would be censored, so decisions stop 0.6 mean ages at eviction under LRU before it. Why this
function of the distance: docs/decisions/0014.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.capacity import Capacity
from cachesim.compiled import allocating_kernel, kernel
from cachesim.eviction.caches import (
    INCOMING,
    Stream,
    advance,
    create_caches,
    observe_candidates,
    replay_until,
    resolve,
    sample,
)
from cachesim.eviction.scorer import Scorer, build_scorer
from cachesim.features.table import MOMENT_FEATURES, Float32Array, raw_normaliser
from cachesim.oracle import NEVER, next_request
from cachesim.structures.random_numbers import random_states
from schemas.errors import GateError
from schemas.trace import FloatArray, IntArray, Trace

HORIZON = 0.03  # distance to the next request at which the worth is half, in mean ages at eviction under LRU
CENSORED = 0.6  # end of the span without decisions, in mean ages at eviction under LRU
NO_DECISION = (
    "the cache evicts nothing on the training span, as it holds all that is requested or nothing that is requested "
    "fits: there is nothing to learn; give another capacity"
)

NO_REPEAT = (
    "no object is requested twice in the training span: nothing that is kept is ever used, so there is nothing to "
    "learn; give more requests, or keys that name what is requested rather than the single request"
)


class Oracle(NamedTuple):
    """What the recorded span knows of its own future.

    Attributes:
        next_request: int64 (n,), position of the next request of the same key inside the span, or `NEVER`.
        worth: float64 (n,), what a hit on the object is worth per unit of capacity.
        half_distance: requests, > 0, to the next one at which the worth is half.
        end: decisions are made before this position.
    """

    next_request: IntArray
    worth: FloatArray
    half_distance: float
    end: int


def build_oracle(
    span: Trace,
    capacity: Capacity,
    values: FloatArray,
    eviction_age_requests: float,
    training: int | None = None,
    horizon: float = HORIZON,
) -> Oracle:
    """Look into the future of a span, and no further.

    Args:
        span: the training span; or a longer one, for who looks at no later request than the one being served.
        capacity: of the cache.
        values: shape (n,), what a hit on each request is worth.
        eviction_age_requests: mean age at eviction under LRU on the training span; NaN when it evicts nothing.
        training: length of the training span, whose mean charge is the unit of capacity; None = all of `span`.
        horizon: > 0, the distance to the next request at which the worth is half, in mean ages at eviction.

    Raises:
        GateError: nothing is evicted or nothing requested twice, so there is nothing to learn.
    """
    if math.isnan(eviction_age_requests):
        raise GateError(NO_DECISION)
    following = require_repeats(span)
    charges = capacity.charges(span)
    worth = values * (charges[:training].mean() / charges)
    end = max(len(span) - int(CENSORED * eviction_age_requests), len(span) // 2)
    return Oracle(following, worth, horizon * eviction_age_requests, end)


def require_repeats(span: Trace) -> IntArray:
    """Return the position of the next request of each object, int64 (n,); GateError when none is requested twice."""
    following = next_request(span.key, span.n_keys)
    if (following == NEVER).all():
        raise GateError(NO_REPEAT)
    return following


def blind_oracle(requests: int) -> Oracle:
    """Return an oracle that knows no future: no object is worth anything, and decisions go on to the end."""
    return Oracle(np.full(requests, NEVER), np.zeros(requests), 1.0, requests)


@allocating_kernel
def _copy_cache(source, a, target, b):  # type: ignore[no-untyped-def]
    n = source.residents[a]
    target.slot_of[b] = source.slot_of[a]
    target.key[b, :n] = source.key[a, :n]
    target.last[b, :n] = source.last[a, :n]
    target.admitted[b, :n] = source.admitted[a, :n]
    target.charge[b, :n] = source.charge[a, :n]
    target.history[b, :n] = source.history[a, :n]
    target.residents[b] = n
    target.used[b] = source.used[a]
    target.position[b] = source.position[a]
    target.hit_ratio[b] = source.hit_ratio[a]
    target.counts[b] = source.counts[a]


@kernel
def worth_of_keeping(oracle, now, at):  # type: ignore[no-untyped-def]
    """Return what keeping the object that request `at` asked for is worth at request `now`."""
    following = oracle.next_request[at]
    return 0.0 if following == NEVER else oracle.worth[at] / (1 + (following - now) / oracle.half_distance)


@kernel
def _judge(caches, b, stream, oracle, candidates, worths):  # type: ignore[no-untyped-def]
    t = caches.position[b]
    for j in range(candidates.size):
        at = t if candidates[j] == INCOMING else caches.last[b, candidates[j]]
        worths[j] = worth_of_keeping(oracle, t, at)


@kernel
def _present(caches, b, stream, oracle, candidates, worths, normaliser, rows):  # type: ignore[no-untyped-def]
    sample(caches, b, candidates)
    _judge(caches, b, stream, oracle, candidates, worths)
    row = stream.history[caches.position[b]]
    observe_candidates(caches, b, row, stream.half_lives, stream.stride, candidates, normaliser, rows)


@kernel
def _present_all(caches, stream, oracle, normaliser, candidates, worths, rows):  # type: ignore[no-untyped-def]
    for b in range(candidates.shape[0]):
        _present(caches, b, stream, oracle, candidates[b], worths[b], normaliser, rows[b])


@allocating_kernel
def _step_all(caches, stream, oracle, starts, start_of, actions, candidates, unmarked, done):  # type: ignore[no-untyped-def]
    for b in range(actions.size):
        resolve(caches, b, stream, candidates[b, actions[b]])
        done[b] = not advance(caches, b, stream, oracle.end, unmarked)
        if done[b]:
            _copy_cache(starts, start_of[b], caches, b)


@allocating_kernel
def _collect_starts(cache, stream, oracle, scorer, n_candidates, positions, starts, hit):  # type: ignore[no-untyped-def]
    """Replay the span once, copying the cache at the first decision from each position on; return how many."""
    found = 0
    for position in positions:
        replay_until(cache, 0, stream, position, scorer, n_candidates, hit)
        if advance(cache, 0, stream, oracle.end, hit):
            _copy_cache(cache, 0, starts, found)
            found += 1
    replay_until(cache, 0, stream, stream.key.size, scorer, n_candidates, hit)
    return found


def oldest_first(n_features: int) -> Scorer:
    """Return the scorer that drops the candidate of the greatest age: sampled LRU, where learning starts from."""
    first, none, one = np.zeros((1, n_features), np.float32), np.zeros(1, np.float32), np.ones(1, np.float32)
    first[0, 0] = 1  # the age
    return build_scorer(raw_normaliser(n_features), first, none, one[:, None], none, one, none)


class Decisions:
    """A batch of caches that wait for decisions on the training span.

    Attributes:
        rows: float32 (batch, k, f), features of the candidates, transformed by the normaliser.
        costs: float64 (batch, k), what dropping each candidate costs: what keeping it would be worth.
    """

    def __init__(self, stream: Stream, oracle: Oracle, n_keys: int, *, batch: int, candidates: int, seed: int) -> None:
        self.stream, self.oracle, self.n_keys = stream, oracle, n_keys
        self.n_features = stream.history.shape[1] + MOMENT_FEATURES
        self.normaliser = raw_normaliser(self.n_features)
        self.rows = np.zeros((batch, candidates, self.n_features), np.float32)
        self.costs = np.zeros((batch, candidates))
        self._candidates = np.zeros((batch, candidates), np.int64)
        self._done = np.zeros(batch, np.bool_)
        self._caches = create_caches(stream, n_keys, batch, seed)
        self._starts = create_caches(stream, n_keys, batch, seed)
        self._unmarked = np.empty(0, np.bool_)
        self._n_starts = 0
        self._rng = np.random.default_rng(seed)

    def start_empty(self) -> None:
        """Take the empty cache at the beginning of the span as the only starting point.

        Raises:
            GateError: the span has no decision to learn from.
        """
        self._starts = create_caches(self.stream, self.n_keys, self._done.size, 0)
        self._n_starts = int(advance(self._starts, 0, self.stream, self.oracle.end, self._unmarked))
        self._require_starts()

    def reseed(self, seed: int) -> None:
        """Restart the sampling of candidates and starting points from `seed`."""
        self._rng = np.random.default_rng(seed)
        self._caches.random[:] = random_states(seed, self._done.size)

    def random_state(self) -> dict[str, Any]:
        """Return the state of all that draws at random here, as numbers and texts; `restore_random` takes it back."""
        return {"starts": self._rng.bit_generator.state, "candidates": self._caches.random.tolist()}

    def restore_random(self, state: dict[str, Any]) -> None:
        """Go on drawing as after `random_state`; caches that are loaded from new starting points then do the same."""
        self._rng.bit_generator.state = state["starts"]
        self._caches.random[:] = state["candidates"]

    def resync(self, scorer: Scorer) -> NDArray[np.bool_]:
        """Replay the span with `scorer` in charge and take the states it meets as the new starting points.

        Returns:
            bool (n,), which requests of the span hit in that replay.

        Raises:
            GateError: the span has no decision to learn from.
        """
        batch = self._done.size
        hit = np.zeros(self.stream.key.size, np.bool_)
        cache = create_caches(self.stream, self.n_keys, 1, int(self._rng.integers(2**31)))
        positions = np.sort(self._rng.integers(0, self.oracle.end, batch))
        self._n_starts = _collect_starts(
            cache, self.stream, self.oracle, scorer, self.rows.shape[1], positions, self._starts, hit
        )
        self._require_starts()
        return hit

    def _require_starts(self) -> None:
        if self._n_starts == 0:
            raise GateError(NO_DECISION)

    def reset(self) -> Float32Array:
        """Put every cache at one of the starting points and return the first observations, `rows`."""
        for b in range(self._done.size):
            _copy_cache(self._starts, b % self._n_starts, self._caches, b)
        self._present()
        return self.rows

    def step(self, actions: IntArray) -> NDArray[np.bool_]:
        """Drop candidate `actions[b]` of each cache b and go on to the next decisions.

        Returns:
            bool (batch,), which caches reached the end of the span and were put back to a starting point.
        """
        start_of = self._rng.integers(0, self._n_starts, self._done.size)
        _step_all(
            self._caches,
            self.stream,
            self.oracle,
            self._starts,
            start_of,
            actions,
            self._candidates,
            self._unmarked,
            self._done,
        )
        self._present()
        return self._done

    def _present(self) -> None:
        _present_all(self._caches, self.stream, self.oracle, self.normaliser, self._candidates, self.costs, self.rows)
