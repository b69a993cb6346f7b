"""Recorded decisions: the log holds what was decided, in bounded memory, and no outcome looks ahead."""

import numpy as np
import pytest

from cachesim.capacity import Capacity
from cachesim.eviction.caches import Stream, build_stream, create_caches, replay_until
from cachesim.eviction.decision_log import DecisionLog, empty_log, outcomes, recorded, replay_recording, settled
from cachesim.eviction.decisions import Oracle, build_oracle
from cachesim.eviction.scorer import Scorer, workspace
from cachesim.traffic.energy import energy_trace
from schemas.trace import Trace
from tests.models.learned.nets import random_net

REQUESTS, CANDIDATES, EVICTION_AGE_REQUESTS = 4_000, 8, 200.0
CAPACITIES = [Capacity(40, "objects"), Capacity(1_000_000, "bytes")]
every_capacity = pytest.mark.parametrize("capacity", CAPACITIES, ids=lambda c: f"{c.limit}-{c.unit}")


@pytest.fixture(scope="module")
def trace() -> Trace:
    return energy_trace(REQUESTS, seed=3)


def replayed(
    trace: Trace, capacity: Capacity, entries: int, every: int = 1, rounds: int = 1
) -> tuple[DecisionLog, np.ndarray, Stream, Scorer]:
    stream = build_stream(trace, capacity, len(trace))
    scorer = random_net(40.0)
    log = empty_log(entries, CANDIDATES, scorer.normaliser.mean.size, every)
    hit, caches = np.zeros(len(trace), np.bool_), create_caches(stream, trace.n_keys, 1, 7)
    for end in np.linspace(0, len(trace), rounds + 1)[1:].astype(int):
        replay_recording(caches, 0, stream, int(end), scorer, hit, log)
    return log, hit, stream, scorer


@every_capacity
def test_recording_changes_no_hit(trace: Trace, capacity: Capacity) -> None:
    _, hit, stream, scorer = replayed(trace, capacity, 50, rounds=9)
    plain = np.zeros(len(trace), np.bool_)
    replay_until(create_caches(stream, trace.n_keys, 1, 7), 0, stream, len(trace), scorer, CANDIDATES, plain)
    np.testing.assert_array_equal(hit, plain)


@every_capacity
def test_a_full_log_holds_the_latest_decisions_one_in_every_so_many(trace: Trace, capacity: Capacity) -> None:
    everything = replayed(trace, capacity, 20_000)[0]
    made = int(everything.made[0])
    assert recorded(everything) == made > 1_000
    thinned = replayed(trace, capacity, 100, every=3, rounds=5)[0]
    assert recorded(thinned) == 100 < -(-made // 3)
    latest = np.arange(made)[::3][-100:]
    order = np.lexsort((np.arange(100) < (-(-made // 3)) % 100, thinned.position))  # around the ring
    np.testing.assert_array_equal(thinned.position[order], everything.position[latest])
    assert set(map(bytes, thinned.rows)) == set(map(bytes, everything.rows[latest]))
    assert set(map(bytes, thinned.requested)) == set(map(bytes, everything.requested[latest]))


@every_capacity
def test_settled_decisions_are_those_of_the_given_age(trace: Trace, capacity: Capacity) -> None:
    log = replayed(trace, capacity, 20_000)[0]
    now, age_requests = 3_000, 480.0
    entries = settled(log, now, age_requests)
    assert 0 < entries.size < recorded(log)
    young = np.setdiff1d(np.arange(recorded(log)), entries)
    assert log.position[entries].max() <= now - age_requests < log.position[young].min()


@every_capacity
def test_an_outcome_is_the_worth_as_of_now_and_ignores_all_later_requests(trace: Trace, capacity: Capacity) -> None:
    log, now = replayed(trace, capacity, 20_000)[0], 2_500
    values = np.ones(len(trace))
    oracle = build_oracle(trace, capacity, values, EVICTION_AGE_REQUESTS)
    entries = settled(log, now, 100.0)[::7]
    rows, worths = outcomes(log, entries, oracle, now)
    np.testing.assert_array_equal(rows, log.rows[entries])
    charges, keys = capacity.charges(trace), trace.key.tolist()
    for e, entry in enumerate(entries):
        t = int(log.position[entry])
        for j, at in enumerate(log.requested[entry].tolist()):
            following = next((i for i in range(at + 1, now + 1) if keys[i] == keys[at]), None)
            distance = np.inf if following is None else following - t
            expected = charges.mean() / charges[at] / (1 + distance / (0.03 * EVICTION_AGE_REQUESTS))
            assert worths[e, j] == pytest.approx(expected, rel=1e-5)
    assert 0.02 < (worths > 0).mean() < 0.98
    beyond: Oracle = build_oracle(trace[: now + 1], capacity, values[: now + 1], EVICTION_AGE_REQUESTS)
    scaled = charges[: now + 1].mean() / charges.mean()
    np.testing.assert_allclose(outcomes(log, entries, beyond, now)[1], worths * scaled, rtol=1e-6)


def test_a_recorded_row_is_what_the_network_saw(trace: Trace) -> None:
    """The rows of the log, scored again, drop what was dropped: the cache that follows from them is the same."""
    log, _, stream, scorer = replayed(trace, CAPACITIES[0], 20_000)
    assert workspace(scorer, CANDIDATES).rows.shape[1] >= log.rows.shape[2]
    assert np.abs(log.rows[: recorded(log)]).max() <= 8
    incoming = log.requested[: recorded(log), 0]
    np.testing.assert_array_equal(incoming, log.position[: recorded(log)])
    np.testing.assert_array_equal(stream.key[incoming], trace.key[log.position[: recorded(log)]])
