"""ARC and LIRS: how many names they remember, and what each is known for."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cachesim.capacity import Capacity
from cachesim.policies import arc, lirs
from cachesim.replay import begin, replay
from cachesim.requests import chunks
from schemas.trace import Trace
from tests.models.base import Request
from tests.models.lirs import Lirs

Rows = list[tuple[int, int]]
rows_of_sizes = st.lists(st.tuples(st.integers(0, 29), st.integers(1, 9)), min_size=1, max_size=200)


def states(trace: Trace, policy: Any, name: str, capacity: Capacity, ttl_s: float) -> Iterator[Any]:
    """Yield the state after each request."""
    state = begin(trace, name, capacity)
    for _, requests in chunks(trace, capacity, ttl_s):
        for i in range(requests.key.size):
            if not policy.steps.access(state, requests, i):
                policy.steps.admit(state, requests, i)
            yield state


def states_with_removals(*args: Any) -> Iterator[Any]:
    """Yield the state after each request, and for a third of them once more, without one of the residents."""
    for i, state in enumerate(states(*args)):
        yield state
        held = np.flatnonzero(state.ledger.charge)
        if i % 3 == 2 and held.size:
            args[1].steps.remove(state, held[i % held.size])
            yield state


@given(rows=rows_of_sizes, limit=st.integers(1, 60), ttl_s=st.sampled_from([np.inf, 7.0]))
def test_arc_remembers_names_for_two_capacities_at_most(
    make_trace: Callable[..., Trace], rows: Rows, limit: int, ttl_s: float
) -> None:
    trace = make_trace(*zip(*rows, strict=True))
    for state in states_with_removals(trace, arc, "arc", Capacity(limit, "bytes"), ttl_s):
        queues = state.queues
        assert queues.used[arc.ONCE_GHOST] + queues.used[arc.OFTEN_GHOST] <= 2 * limit
        assert queues.used[arc.ONCE] + queues.used[arc.OFTEN] == state.ledger.charge.sum()
        assert 0 <= state.target[0] <= limit


@given(rows=rows_of_sizes, limit=st.integers(1, 25))
def test_arc_keeps_the_bounds_of_the_paper_with_objects(
    make_trace: Callable[..., Trace], rows: Rows, limit: int
) -> None:
    for state in states(make_trace([key for key, _ in rows]), arc, "arc", Capacity(limit, "objects"), np.inf):
        assert state.queues.used[[arc.ONCE, arc.ONCE_GHOST]].sum() <= limit
        assert state.queues.used.sum() <= 2 * limit


@given(rows=rows_of_sizes, limit=st.integers(1, 60), ttl_s=st.sampled_from([np.inf, 7.0]))
def test_the_stack_of_lirs_stands_for_two_capacities_at_most_and_ends_in_a_low_object(
    make_trace: Callable[..., Trace], rows: Rows, limit: int, ttl_s: float
) -> None:
    trace = make_trace(*zip(*rows, strict=True))
    for state in states_with_removals(trace, lirs, "lirs", Capacity(limit, "bytes"), ttl_s):
        place, charge = state.queues.place, state.queues.charge
        assert charge[state.stacked].sum() == state.stacked_charge[0] <= 2 * limit
        assert state.stacked[(place == lirs.LOW) | (place == lirs.GHOST)].all()
        bottom = state.stack.newer[lirs.STACK]
        assert place[bottom] == lirs.LOW if state.stacked.any() else not (place == lirs.LOW).any()
        assert state.queues.used[lirs.LOW] <= state.queues.limit[lirs.LOW]


def test_lirs_equals_its_model_when_two_objects_are_high(make_trace: Callable[..., Trace]) -> None:
    draw = random.Random(0)
    keys = [int(500 * draw.random() ** 2 + i // 9) for i in range(1_200)]
    hit = replay(make_trace(keys), "lirs", Capacity(250, "objects")).hit
    assert hit.tolist() == Lirs(250, [Request(key) for key in keys]).run()


def test_a_high_object_that_is_requested_outlives_older_ones(make_trace: Callable[..., Trace]) -> None:
    """297 low objects and 3 high ones change places with 0, 1, 2; then 0 is requested, and 300 comes: 1 leaves."""
    trace = make_trace([*range(300), 297, 298, 299, 0, 300, 0, 1])
    assert replay(trace, "lirs", Capacity(300, "objects")).hit[300:].tolist() == [True] * 4 + [False, True, False]


def test_a_scan_passes_through_lirs_and_arc_and_flushes_lru(make_trace: Callable[..., Trace]) -> None:
    """100 objects that are requested again and again, then 1,000 others once, then the 100."""
    popular = list(range(100)) * 5
    trace = make_trace([*popular, *range(100, 1_100), *range(100)])
    capacity = Capacity(150, "objects")
    kept = {name: int(replay(trace, name, capacity).hit[-100:].sum()) for name in ("lru", "arc", "lirs")}
    assert kept == {"lru": 0, "arc": 100, "lirs": 100}


def test_lirs_survives_a_loop_larger_than_the_cache(make_trace: Callable[..., Trace]) -> None:
    """LRU never hits; LIRS keeps what fits beside its 1 %."""
    trace = make_trace(list(range(120)) * 10)
    assert replay(trace, "lru", Capacity(100, "objects")).hit.sum() == 0
    assert replay(trace, "lirs", Capacity(100, "objects")).hit[120:].mean() >= 99 / 120 - 0.01
