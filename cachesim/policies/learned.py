"""Learned: of the incoming object and a few random residents, evict the one that a trained network scores highest.

Decisions, features and history are those of `cachesim.eviction.caches` and `cachesim.features.history`, which train and
evaluate, so that a replay here equals `caches.replay_until`. The incoming object is a candidate too: it may be refused.
With times to live a candidate that has expired goes before all others, whatever the network says.

What a hit does not say is taken from the stored copy: a request of 0 bytes leaves the copy's size as it was, and its
load time and columns too where they are NaN. Endpoints that training did not know share one more pair of averages.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel
from cachesim.eviction.caches import (
    HISTORY_MULTIPLE,
    INCOMING,
    Caches,
    choose,
    count,
    drop,
    empty_caches,
    enter,
    remembered_keys,
    touch,
)
from cachesim.eviction.caches import remove as vacate
from cachesim.eviction.scorer import Scorer, Workspace, workspace
from cachesim.features.history import History, empty_history, note, write_row
from cachesim.features.table import FEATURES, HISTORY_WIDTH, LOAD_TIME_AT, SIZE_AT, Float32Array
from cachesim.policies.parts.ledger import (
    LIMIT,
    MORTAL,
    NOW,
    REJECTIONS,
    Ledger,
    admissible,
    book_admission,
    book_eviction,
    book_removal,
    empty_ledger,
    hits,
    outlived,
    residents,
)
from cachesim.policies.parts.loop import kernels_with
from cachesim.requests import Requests
from schemas.errors import ConfigError
from schemas.trace import FloatArray

SERVING_CANDIDATES = 32  # of a decision, in evaluation and service alike


class State(NamedTuple):
    """What is known of the residents and of the requests, and the network.

    Attributes:
        ledger: the ledger.
        caches: a batch of one cache, with as many slots as there can be residents. The request at its position has not
            been counted; after a miss that is the latest request, since what is fetched is admitted as of that one.
        history: of the most recently requested keys, resident or not, and of n + 1 endpoints.
        row: float32 (h,), working memory for a history row.
        work: working memory for a decision.
        scorer: the network.
        stride: float64 (1,), how many requests of all keys one of these stands for, >= 1: ages are told in those.
    """

    ledger: Ledger
    caches: Caches
    history: History
    row: Float32Array
    work: Workspace
    scorer: Scorer
    stride: FloatArray


def start(
    n_keys: int,
    limit: int,
    *,
    scorer: Scorer | None = None,
    capacity_objects: float | None = None,
    missing: Float32Array | None = None,
    n_endpoints: int = 1,
    candidates: int = SERVING_CANDIDATES,
    history_multiple: int = HISTORY_MULTIPLE,
    stride: float = 1.0,
    seed: int = 0,
) -> State:
    """Return an empty cache.

    Args:
        n_keys: keys are codes in [0, n_keys).
        limit: what the residents' charges may sum to.
        scorer: the network, for f features.
        capacity_objects: capacity in objects, as in training, see `Capacity.mean_objects`.
        missing: float32 (1 + m,), m the feature columns: what stands in for an unknown load time and for missing column
            values, as in training, see `history.missing_values`.
        n_endpoints: endpoints that training knew, codes in [0, n_endpoints).
        candidates: of a decision, the incoming object among them, >= 2.
        history_multiple: keys remembered, in capacities of objects, residents not counted; >= 1.
        stride: how many requests of all keys one of these stands for, >= 1; above 1 where the keys are a sample.
        seed: the same seed draws the same candidates.

    Raises:
        ConfigError: `scorer`, `capacity_objects` or `missing` is not given, they do not fit each other, or a number is
            below its least value.
    """
    if scorer is None or capacity_objects is None or missing is None:
        given = {"scorer": scorer, "capacity_objects": capacity_objects, "missing": missing}
        absent = ", ".join(name for name, value in given.items() if value is None)
        raise ConfigError(f"policy learned needs options that come with a trained network: {absent} not given")
    _require_fitting(scorer, capacity_objects, missing)
    least = {
        "n_endpoints": (n_endpoints, 1),
        "candidates": (candidates, 2),
        "history_multiple": (history_multiple, 1),
        "stride": (stride, 1),
    }
    for name, (value, lowest) in least.items():
        if not value >= lowest:
            raise ConfigError(f"{name} must be >= {lowest}, got {value}")
    keys, means = remembered_keys(capacity_objects, history_multiple), np.array(missing, np.float32)
    width = HISTORY_WIDTH + means.size - 1
    return State(
        ledger=empty_ledger(n_keys, limit),
        caches=empty_caches(n_keys, min(n_keys, limit), width, 1, seed),
        history=empty_history(n_keys, n_endpoints + 1, capacity_objects * stride, keys, means),
        row=np.zeros(width, np.float32),
        work=workspace(scorer, candidates),
        scorer=scorer,
        stride=np.array([stride], np.float64),
    )


def _require_fitting(scorer: Scorer, capacity_objects: float, missing: Float32Array) -> None:
    if not 1 <= capacity_objects < np.inf:
        raise ConfigError(f"capacity_objects must be a number >= 1, got {capacity_objects}")
    columns = scorer.normaliser.transform.size - len(FEATURES)
    if np.shape(missing) != (1 + columns,):
        raise ConfigError(
            f"the network takes {columns} feature columns, so missing must have the shape ({1 + columns},): "
            f"load time and columns; got {np.shape(missing)}"
        )


@inner_kernel
def _moment(state: State) -> int:
    """Return the position of the latest request among those of all keys."""
    return int(state.stride[0] * state.caches.position[0])


@inner_kernel
def _endpoint(state: State, requests: Requests, i: int) -> int:
    """Return the endpoint of request i, or the last one, which is shared by all that are unknown."""
    unknown = state.history.endpoint_gap.size - 1
    endpoint = requests.endpoint[i]
    return endpoint if 0 <= endpoint < unknown else unknown


@inner_kernel
def _write_row(state: State, requests: Requests, i: int) -> None:
    """Write to `state.row` what is known of the object of request i, which is remembered."""
    key, endpoint = requests.key[i], _endpoint(state, requests, i)
    size_bytes, load_time_ms = requests.size_bytes[i], requests.load_time_ms[i]
    write_row(state.history, key, endpoint, size_bytes, load_time_ms, requests.columns[i], state.row)


@inner_kernel
def _keep_unsaid(state: State, requests: Requests, i: int, stored: Float32Array) -> None:
    """Take over from the history row of the stored copy what request i, which says no size, does not say."""
    state.row[SIZE_AT] = stored[SIZE_AT]
    if np.isnan(requests.load_time_ms[i]):
        state.row[LOAD_TIME_AT] = stored[LOAD_TIME_AT]
    for c in range(requests.columns.shape[1]):
        if np.isnan(requests.columns[i, c]):
            state.row[HISTORY_WIDTH + c] = stored[HISTORY_WIDTH + c]


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key, caches = requests.key[i], state.caches
    if outlived(state.ledger, requests, i):
        remove(state, key)
    if caches.position[0] < state.ledger.counts[NOW]:  # the request before this one missed
        count(caches, 0, False)
    note(state.history, _moment(state), key, _endpoint(state, requests, i))
    if not hits(state.ledger, key):
        return False
    slot = caches.slot_of[0, key]
    _write_row(state, requests, i)
    if requests.size_bytes[i] == 0:
        _keep_unsaid(state, requests, i, caches.history[0, slot])
    touch(caches, 0, slot, state.row)
    count(caches, 0, True)
    return True


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if it may enter; return whether it did."""
    if not admissible(state.ledger, requests, i):
        return False
    key, charge, caches, history = requests.key[i], requests.charge[i], state.caches, state.history
    limit = state.ledger.counts[LIMIT]
    if history.last[key] < 0:  # forgotten since it was requested, or never requested
        note(history, _moment(state), key, _endpoint(state, requests, i))
    _write_row(state, requests, i)
    while not enter(caches, 0, key, charge, state.row, limit):
        slot = choose(caches, 0, state.row, history.half_lives, state.stride[0], state.scorer, state.work)
        expired = _expired_candidate(state, requests.time_s[i])
        slot = slot if expired == INCOMING else expired
        if slot != INCOMING:
            book_eviction(state.ledger, caches.key[0, slot])
        if drop(caches, 0, slot):
            state.ledger.counts[REJECTIONS] += 1
            return False
    book_admission(state.ledger, requests, i)
    return True


@inner_kernel
def _expired_candidate(state: State, time_s: float) -> int:
    """Return the slot of the first candidate whose copy can hit no more, or INCOMING when there is none."""
    if state.ledger.counts[MORTAL]:
        for slot in state.work.candidates:
            if slot != INCOMING and state.ledger.expires_s[state.caches.key[0, slot]] <= time_s:
                return int(slot)
    return int(INCOMING)


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out."""
    vacate(state.caches, 0, state.caches.slot_of[0, key])
    book_removal(state.ledger, key)


def knows(state: State, codes: slice) -> NDArray[np.bool_]:
    """Return which objects of a slice of codes the state says something about: residents and remembered keys."""
    known: NDArray[np.bool_] = residents(state.ledger, codes) | (state.history.last[codes] >= 0)
    return known


replay, steps = kernels_with(globals())
