"""Decisions as they were made, kept until their outcome is known: what a policy can go on learning from.

A log is a ring: it holds the latest decisions, or every m-th of them, so that its memory does not grow with the
traffic. An outcome is known by what was requested since, and by nothing that comes later.
"""

from typing import NamedTuple

import numpy as np

from cachesim.compiled import allocating_kernel, kernel
from cachesim.eviction.caches import INCOMING, advance, choose, resolve
from cachesim.eviction.decisions import Oracle, worth_of_keeping
from cachesim.eviction.scorer import workspace
from cachesim.features.table import Float32Array, copy_row
from schemas.trace import IntArray


class DecisionLog(NamedTuple):
    """The latest n recorded decisions among k candidates.

    Attributes:
        rows: float32 (n, k, f), features of the candidates, transformed.
        requested: int64 (n, k), position of the latest request of each candidate.
        position: int64 (n,), of the request at which the decision was made; never falling around the ring.
        made: int64 (1,), decisions so far, recorded or not.
        every: int64 (1,), one in so many is recorded.
    """

    rows: Float32Array
    requested: IntArray
    position: IntArray
    made: IntArray
    every: IntArray


def empty_log(n: int, candidates: int, n_features: int, every: int) -> DecisionLog:
    """Return a log that will hold `n` decisions, one in `every` of those that are made."""
    return DecisionLog(
        rows=np.zeros((n, candidates, n_features), np.float32),
        requested=np.zeros((n, candidates), np.int64),
        position=np.zeros(n, np.int64),
        made=np.zeros(1, np.int64),
        every=np.array([every], np.int64),
    )


def recorded(log: DecisionLog) -> int:
    """Return how many decisions the log holds."""
    return min(log.position.size, -(-int(log.made[0]) // int(log.every[0])))


def settled(log: DecisionLog, now: int, age_requests: float) -> IntArray:
    """Return which entries of the log were made at least `age_requests` before the request at `now`, int64 (m,)."""
    return np.flatnonzero(log.position[: recorded(log)] <= now - age_requests)


@allocating_kernel
def replay_recording(caches, b, stream, end, scorer, hit, log):  # type: ignore[no-untyped-def]
    """Run cache b to position `end` with the scorer in charge, marking hits in `hit` (n,); record decisions."""
    work = workspace(scorer, log.requested.shape[1])
    while advance(caches, b, stream, end, hit):
        row = stream.history[caches.position[b]]
        slot = choose(caches, b, row, stream.half_lives, stream.stride, scorer, work)
        if log.made[0] % log.every[0] == 0:
            _record(log, caches, b, work)
        log.made[0] += 1
        resolve(caches, b, stream, slot)


@kernel
def _record(log, caches, b, work):  # type: ignore[no-untyped-def]
    entry, t = (log.made[0] // log.every[0]) % log.position.size, caches.position[b]
    log.position[entry] = t
    for j in range(work.candidates.size):
        slot = work.candidates[j]
        log.requested[entry, j] = t if slot == INCOMING else caches.last[b, slot]
        copy_row(work.rows[j, : log.rows.shape[2]], log.rows[entry, j])


def outcomes(log: DecisionLog, entries: IntArray, oracle: Oracle, now: int) -> tuple[Float32Array, Float32Array]:
    """Return what is learned from `entries` of the log at the request `now`.

    Args:
        log: of decisions.
        entries: int64 (m,), which of them.
        oracle: of all requests; those after `now` are not looked at.
        now: position of the latest request.

    Returns:
        float32 (m, k, f), the features, and float32 (m, k), what keeping each candidate was worth; 0 when it has not
        been requested again.
    """
    worths = np.empty((entries.size, log.requested.shape[1]), np.float32)
    _judge_entries(log, entries, oracle, now, worths)
    return log.rows[entries], worths


@kernel
def _judge_entries(log, entries, oracle, now, worths):  # type: ignore[no-untyped-def]
    for i in range(entries.size):
        for j in range(worths.shape[1]):
            at = log.requested[entries[i], j]
            worths[i, j] = (
                worth_of_keeping(oracle, log.position[entries[i]], at) if oracle.next_request[at] <= now else 0
            )
