"""Each compiled policy against a model of it written independently with plain lists and dictionaries."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.capacity import Capacity
from cachesim.replay import POLICIES, replay
from schemas.trace import Trace
from tests.models import MODELS
from tests.models.base import Request

SEED = 5
keys = st.integers(0, 14)
load_times_ms = st.sampled_from([float("nan"), 0.0, 1.0, 2.5, 40.0])
every_policy = pytest.mark.parametrize("policy", POLICIES)


def requests_of(trace: Trace, capacity: Capacity, lifetime_s: list[float] | None = None) -> list[Request]:
    charges = capacity.charges(trace).tolist()
    lifetimes = lifetime_s or [float("inf")] * len(trace)
    columns = (trace.key.tolist(), charges, trace.timestamp_s.tolist(), lifetimes, trace.load_time_ms.tolist())
    return [Request(*row) for row in zip(*columns, strict=True)]


def check(trace: Trace, policy: str, capacity: Capacity, lifetime_s: list[float] | None = None) -> None:
    """Compare hits, what is held at the end, and the counts."""
    model = MODELS[policy](capacity.limit, requests_of(trace, capacity, lifetime_s), SEED)
    ttl_s = float("inf") if lifetime_s is None else np.array(lifetime_s)
    outcome = replay(trace, policy, capacity, ttl_s=ttl_s, seed=SEED)
    assert outcome.hit.tolist() == model.run()
    done = outcome.whole
    assert done.resident_charge == sum(model.held.values())
    assert done.resident_objects == len(model.held)
    assert (done.admissions, done.evictions) == (model.admissions, model.evictions)
    assert (done.rejections, done.expiries) == (model.rejections, model.expiries)


def test_every_policy_has_a_model() -> None:
    assert set(MODELS) == set(POLICIES)


@every_policy
@given(rows=st.lists(st.tuples(keys, load_times_ms), min_size=1, max_size=150), limit=st.integers(1, 16))
def test_a_policy_equals_its_model_with_objects(
    policy: str, make_trace: Callable[..., Trace], rows: list[tuple[int, float]], limit: int
) -> None:
    trace = make_trace([r[0] for r in rows], 1, [r[1] for r in rows])
    check(trace, policy, Capacity(limit, "objects"))


@every_policy
@given(
    rows=st.lists(st.tuples(keys, st.integers(1, 8), load_times_ms), min_size=1, max_size=150), limit=st.integers(1, 60)
)
def test_a_policy_equals_its_model_with_bytes_and_changing_sizes(
    policy: str, make_trace: Callable[..., Trace], rows: list[tuple[int, int, float]], limit: int
) -> None:
    trace = make_trace([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])
    check(trace, policy, Capacity(limit, "bytes"))


@every_policy
@given(
    rows=st.lists(
        st.tuples(keys, st.integers(1, 3), st.sampled_from([0.0, 1.0, 3.0, 10.0, 40.0, float("inf")])),
        min_size=1,
        max_size=150,
    ),
    limit=st.integers(1, 30),
)
def test_a_policy_equals_its_model_when_copies_expire(
    policy: str, make_trace: Callable[..., Trace], rows: list[tuple[int, int, float]], limit: int
) -> None:
    trace = make_trace([r[0] for r in rows], [r[1] for r in rows])
    check(trace, policy, Capacity(limit, "bytes"), [r[2] for r in rows])


@every_policy
@pytest.mark.parametrize("limit", [4, 10, 30])
def test_a_policy_equals_its_model_on_skewed_requests(
    policy: str, make_trace: Callable[..., Trace], limit: int
) -> None:
    """Long enough to fill main queues and to use counters to their ends."""
    draw = random.Random(limit)
    trace = make_trace([int(60 * draw.random() ** 3 + i // 200) for i in range(2_000)])
    check(trace, policy, Capacity(limit, "objects"))
