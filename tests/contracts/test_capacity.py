"""No policy ever holds more than its capacity: any requests, sizes, lives and capacities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachesim.capacity import Capacity
from cachesim.policies.parts.ledger import RESIDENTS, USED
from cachesim.replay import LEARNED, POLICIES, begin
from cachesim.requests import chunks
from schemas.trace import Trace
from tests.models.learned.nets import OPTIONS

rows = st.lists(
    st.tuples(st.integers(0, 11), st.integers(1, 9), st.sampled_from([0.0, 2.0, 9.0, float("inf")])),
    min_size=1,
    max_size=40,
)
capacities = st.builds(Capacity, st.integers(1, 40), st.sampled_from(["objects", "bytes"]))


def trace_of(requests: list[tuple[int, int, float]]) -> Trace:
    n = len(requests)
    return Trace(
        key=np.array([key for key, _, _ in requests], np.int64),
        timestamp_s=np.arange(n, dtype=np.float64),
        size_bytes=np.array([size_bytes for _, size_bytes, _ in requests], np.int64),
        load_time_ms=np.full(n, np.nan, np.float32),
        endpoint=np.zeros(n, np.int32),
        n_keys=12,
    )


@pytest.mark.slow
@settings(max_examples=10_000)
@given(requests=rows, capacity=capacities)
def test_no_policy_holds_more_than_its_capacity_after_any_request(
    requests: list[tuple[int, int, float]], capacity: Capacity
) -> None:
    """All policies on each example, in single steps."""
    trace, lifetimes_s = trace_of(requests), np.array([lifetime_s for _, _, lifetime_s in requests])
    (_, columns) = next(chunks(trace, capacity, lifetimes_s))
    for policy, kernels in {**POLICIES, **LEARNED}.items():
        state = begin(trace, policy, capacity, **OPTIONS.get(policy, {}))
        counts, charge = state.ledger.counts, state.ledger.charge
        for i in range(len(trace)):
            if not kernels.steps.access(state, columns, i):
                kernels.steps.admit(state, columns, i)
            assert counts[USED] <= capacity.limit, policy
        assert charge.sum() == counts[USED], policy
        assert np.count_nonzero(charge) == counts[RESIDENTS], policy
