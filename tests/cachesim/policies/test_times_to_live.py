"""Times to live: expired copies leave at once; without lifetimes the two policies are FIFO and LRU."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cachesim.capacity import Capacity
from cachesim.replay import POLICIES, TTL_POLICIES, begin, replay
from cachesim.requests import chunks
from schemas.trace import Trace

rows = st.lists(st.tuples(st.integers(0, 14), st.integers(1, 5)), min_size=1, max_size=200)
lifetimes_s = st.sampled_from([0.5, 1.0, 3.0, 10.0, 40.0, float("inf")])
every_ttl_policy = pytest.mark.parametrize("policy", TTL_POLICIES)


@pytest.mark.parametrize(("policy", "without"), [("ttl", "fifo"), ("sliding-ttl", "lru")])
@pytest.mark.parametrize("ttl_s", [np.inf, 1e9])
@given(rows=rows, limit=st.integers(1, 40))
def test_a_life_that_outlasts_the_trace_leaves_the_order_of_admission_or_of_requests(
    make_trace: Callable[..., Trace], policy: str, without: str, ttl_s: float, rows: list[tuple[int, int]], limit: int
) -> None:
    trace, capacity = make_trace([r[0] for r in rows], [r[1] for r in rows]), Capacity(limit, "bytes")
    ours, theirs = replay(trace, policy, capacity, ttl_s=ttl_s), replay(trace, without, capacity)
    assert ours.hit.tolist() == theirs.hit.tolist()
    np.testing.assert_array_equal(ours.counts[:, :10], theirs.counts[:, :10])


@every_ttl_policy
@given(rows=st.lists(st.tuples(st.integers(0, 14), lifetimes_s), min_size=1, max_size=100), limit=st.integers(1, 20))
@example(rows=[(0, np.inf), (0, 1.0), (1, np.inf), (0, np.inf)], limit=5)  # the first life that ends is a hit's
def test_no_copy_outlives_its_time_whatever_is_requested(
    make_trace: Callable[..., Trace], policy: str, rows: list[tuple[int, float]], limit: int
) -> None:
    trace, capacity = make_trace([r[0] for r in rows]), Capacity(limit, "objects")
    state = begin(trace, policy, capacity)
    for _, requests in chunks(trace, capacity, np.array([r[1] for r in rows])):
        for i in range(len(trace)):
            if not POLICIES[policy].steps.access(state, requests, i):
                POLICIES[policy].steps.admit(state, requests, i)
            resident = state.ledger.charge > 0
            assert (state.ledger.expires_s[resident] > requests.time_s[i]).all()
            assert resident.sum() == state.expiry.size[0]


def test_the_copy_that_expires_first_goes_first(make_trace: Callable[..., Trace]) -> None:
    """Two of three fit; 0 came first, 1 would expire first."""
    trace = make_trace([0, 1, 2, 0, 2])
    outcome = replay(trace, "ttl", Capacity(2, "objects"), ttl_s=np.array([90.0, 50.0, 90.0, 90.0, 90.0]))
    assert outcome.hit.tolist() == [False, False, False, True, True]


def test_a_hit_prolongs_a_sliding_life_only(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0, 0, 0, 0, 0])
    lives = np.array([2.0, 2.0, 0.0, 2.0, 2.0])  # the third request makes an end
    assert replay(trace, "sliding-ttl", Capacity(1, "objects"), ttl_s=lives).hit.tolist() == [0, 1, 1, 0, 1]
    assert replay(trace, "ttl", Capacity(1, "objects"), ttl_s=2.0).hit.tolist() == [0, 1, 0, 1, 0]
