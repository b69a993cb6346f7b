"""A cache with a classical eviction whose misses are decided: what is fetched gets one of several times to live.

With the times to live 0 and for ever the decision is whether to admit. The kernels are those of the policy itself, so
that a cache in which every miss gets the same time to live is `replay.replay` with that time to live.

    i = advance(...)          # serves requests up to a miss to be decided, whose features it writes to a row
    lifetime_s[i] = ...       # the decision
    settle(...)               # stores what was fetched, or not
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import bound_to, kernel, outlined_kernel
from cachesim.eviction.decisions import worth_of_keeping
from cachesim.features.categories import Indicator
from cachesim.features.fetches import TIME_FEATURES, Fetches, forget_fetches, note_fetch
from cachesim.features.history import NOBODY, History, note, write_row
from cachesim.features.table import (
    FEATURES,
    HIT_STEP,
    LOG2_1P,
    MOMENT_FEATURES,
    Feature,
    Float32Array,
    copy_row,
    feature_table,
)
from cachesim.miss.decider import decide
from cachesim.policies.parts.ledger import EVICTION_AGE_SUM, EVICTIONS, LIMIT, Ledger, is_full
from cachesim.replay import kernels_of
from cachesim.requests import Requests
from cachesim.structures.random_numbers import RandomState, uniform
from schemas.trace import FloatArray, IntArray

EVICTION_STEP = 1 / 256  # weight of the newest eviction in the moving mean of their ages
HIT_RATIO, EVICTION_AGE = range(2)  # of Memory.moment, and the first features
_AGE = f"moving average over evictions of the requests since the object's last one, the newest weighs {EVICTION_STEP}"
MOMENT = (FEATURES[2], Feature("eviction_age", "requests", _AGE, LOG2_1P))  # the first one is cache_hit_ratio


def miss_features(
    column_names: tuple[str, ...], every_miss: bool, indicators: tuple[Indicator, ...] = ()
) -> tuple[Feature, ...]:
    """Return the features of a decision, in the order the network sees them; see `features.feature_table`."""
    table = feature_table(column_names, indicators)
    return (*MOMENT, *(TIME_FEATURES if every_miss else ()), *table[MOMENT_FEATURES:])


class Memory(NamedTuple):
    """What is known of the requests, beside what the policy knows.

    Attributes:
        history: of the most recently requested keys.
        fetches: of the same keys; empty where versions do not matter.
        moment: float64 (2,), moving hit ratio and moving age at eviction in requests.
    """

    history: History
    fetches: Fetches
    moment: FloatArray


class Terms(NamedTuple):
    """What is decided.

    Attributes:
        ladder_s: float64 (actions,), times to live in seconds, 0 = not stored.
        every_miss: 1 = every miss of an object that may enter is decided, 0 = those that need an eviction.
        stride: how many requests of all keys one of these stands for, >= 1.
        history_at: where in a row of features the history row begins.
    """

    ladder_s: FloatArray
    every_miss: int
    stride: float
    history_at: int


class Log(NamedTuple):
    """A sample of the decisions of a replay.

    Attributes:
        share: of the decisions that are noted, drawn at random.
        forced: the action that is taken at those; -1 = the network's.
        rows: float32 (m, f), raw features.
        at: int64 (m,), the request.
        reward: float64 (m,), of the action taken, where it is known from what was evicted.
        size: int64 (1,), how many are noted.
        random: what draws them.
    """

    share: float
    forced: int
    rows: Float32Array
    at: IntArray
    reward: FloatArray
    size: IntArray
    random: RandomState


class MissKernels(NamedTuple):
    """The kernels of one policy, see the head of this module."""

    advance: Any
    settle: Any
    run: Any


@cache
def miss_kernels(policy: str) -> MissKernels:
    """Return the kernels for a policy; ConfigError when there is no such policy."""
    module = kernels_of(policy)
    names = {**globals(), "access": module.access, "admit": module.admit}
    names["settle"] = _bound(_settle, policy, names)
    names["advance"] = _bound(_advance, policy, names)
    return MissKernels(names["advance"], names["settle"], _bound(_run, policy, names))


def _bound(function: Any, policy: str, names: dict[str, Any]) -> Any:
    return outlined_kernel(bound_to(names, function, policy))


def _advance(
    state: Any,
    memory: Memory,
    terms: Terms,
    requests: Requests,
    versions: IntArray,
    i: int,
    row: Float32Array,
    hit: NDArray[np.bool_],
) -> int:
    """Serve requests from i on, until a miss that is to be decided; return its position, or n.

    Writes its raw features to `row` (f,), and marks hits in `hit` (n,).
    """
    while i < requests.key.size:
        hit[i] = access(state, requests, i)  # type: ignore[name-defined]  # noqa: F821
        meet(memory, terms, requests, versions, i, hit[i], row)
        if not hit[i]:
            if to_be_decided(state.ledger, terms, requests, i):
                describe(memory, terms, requests, i, row)
                return i
            settle(state, memory, terms, requests, i)  # type: ignore[name-defined]  # noqa: F821
        i += 1
    return i


def _settle(state: Any, memory: Memory, terms: Terms, requests: Requests, i: int) -> bool:
    """Store what request i fetched for the lifetime that was decided, if it may enter; return whether it did.

    The ledger notes who left for it.
    """
    ledger, moment = state.ledger, memory.moment
    ledger.left_size[0] = 0
    evictions, age_sum = ledger.counts[EVICTIONS], ledger.counts[EVICTION_AGE_SUM]
    admitted = admit(state, requests, i)  # type: ignore[name-defined]  # noqa: F821
    evictions = ledger.counts[EVICTIONS] - evictions
    if evictions:
        age = terms.stride * (ledger.counts[EVICTION_AGE_SUM] - age_sum) / evictions
        moment[EVICTION_AGE] += EVICTION_STEP * (age - moment[EVICTION_AGE])
    moment[HIT_RATIO] -= HIT_STEP * moment[HIT_RATIO]
    return bool(admitted)


def _run(
    state: Any,
    memory: Memory,
    terms: Terms,
    requests: Requests,
    versions: IntArray,
    lifetime_s: FloatArray,
    decider: Any,
    work: Any,
    oracle: Any,
    hit: NDArray[np.bool_],
    log: Log,
) -> None:
    """Serve all requests with the network in charge; mark hits and note a sample of the decisions.

    `lifetime_s` is the memory of `requests.lifetime_s`, to write to.
    """
    i = advance(state, memory, terms, requests, versions, 0, work.row, hit)  # type: ignore[name-defined]  # noqa: F821
    while i < requests.key.size:
        action = decide(decider, work)
        noted = log.size[0] < log.at.size and uniform(log.random, 0) < log.share
        if noted and log.forced >= 0:
            action = log.forced
        lifetime_s[i] = terms.ladder_s[action]
        admitted = settle(state, memory, terms, requests, i)  # type: ignore[name-defined]  # noqa: F821
        if noted:
            copy_row(work.row, log.rows[log.size[0]])
            log.at[log.size[0]] = i
            log.reward[log.size[0]] = admission_reward(state.ledger, oracle, i, admitted)
            log.size[0] += 1
        i = advance(state, memory, terms, requests, versions, i + 1, work.row, hit)  # type: ignore[name-defined]  # noqa: F821


@kernel
def meet(memory, terms, requests, versions, i, hit, row):  # type: ignore[no-untyped-def]
    """Take note of request i; of a miss also of the version that was fetched, whose features go to `row`."""
    key, endpoint, fetches = requests.key[i], requests.endpoint[i], memory.fetches
    forgotten = note(memory.history, int(terms.stride * i), key, endpoint)
    if fetches.requested_s.size:
        if forgotten != NOBODY:
            forget_fetches(fetches, forgotten)
        if hit:
            fetches.requested_s[key] = requests.time_s[i]
        else:
            note_fetch(fetches, key, endpoint, requests.time_s[i], versions[i], row[memory.moment.size :])
    if hit:
        memory.moment[HIT_RATIO] += HIT_STEP * (1 - memory.moment[HIT_RATIO])


@kernel
def to_be_decided(ledger, terms, requests, i):  # type: ignore[no-untyped-def]
    """Return whether the miss of request i is decided."""
    charge = requests.charge[i]
    return charge <= ledger.counts[LIMIT] and (terms.every_miss == 1 or is_full(ledger, charge))


@kernel
def describe(memory, terms, requests, i, row):  # type: ignore[no-untyped-def]
    """Write the features that do not depend on versions."""
    key, endpoint, columns = requests.key[i], requests.endpoint[i], requests.columns[i]
    copy_row(memory.moment, row)
    size_bytes, load_time_ms = requests.size_bytes[i], requests.load_time_ms[i]
    write_row(memory.history, key, endpoint, size_bytes, load_time_ms, columns, row[terms.history_at :])


@kernel
def admission_reward(ledger: Ledger, oracle: Any, i: int, admitted: bool) -> float:
    """Return what keeping the object of request i is worth, if it was admitted, less that of what left for it."""
    reward = worth_of_keeping(oracle, i, i) if admitted else 0.0
    for j in range(ledger.left_size[0]):
        reward -= worth_of_keeping(oracle, i, ledger.last_request[ledger.left[j]])
    return reward
