"""LHD beyond its first 2^20 requests: what it learns, against the model and against arithmetic."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.capacity import Capacity
from cachesim.policies import lhd
from cachesim.policies.parts.ledger import RESIDENTS
from cachesim.requests import chunks
from schemas.trace import Trace
from tests.models.base import Request
from tests.models.lhd import Lhd

ages = st.integers(0, lhd.OVERFLOW)


def served(trace: Trace, capacity: Capacity, ttl_s: float, update_period: int) -> tuple[lhd.State, list[bool]]:
    state = lhd.start(trace.n_keys, capacity.limit, 3, update_period)
    hit = np.zeros(len(trace), np.bool_)
    for span, requests in chunks(trace, capacity, ttl_s):
        lhd.replay(state, requests, hit[span])
    return state, hit.tolist()


@pytest.mark.parametrize(
    ("limit", "unit", "ttl_s"),
    [(10, "objects", np.inf), (150, "objects", np.inf), (600, "bytes", np.inf), (900, "bytes", 200.0)],
)
def test_lhd_equals_its_model_after_many_updates(
    make_trace: Callable[..., Trace], limit: int, unit: str, ttl_s: float
) -> None:
    """70 updates: ages become finer after the 5th, and explorers end after the 50th."""
    draw = random.Random(limit)
    keys = [int(400 * draw.random() ** 3 + i // 50) for i in range(4_200)]
    trace = make_trace(keys, [1 + key % 9 for key in keys])
    capacity = Capacity(limit, unit)  # type: ignore[arg-type]
    rows = zip(keys, capacity.charges(trace).tolist(), trace.timestamp_s.tolist(), strict=True)
    model = Lhd(limit, [Request(*row, ttl_s) for row in rows], 3, update_period=60)
    state, hit = served(trace, capacity, ttl_s, 60)
    assert hit == model.run()
    assert state.clock[lhd.UPDATES] == model.updates == 70
    assert state.clock[lhd.SHIFT] == model.shift == 1
    assert state.clock[lhd.BUDGET] == model.budget
    held = np.flatnonzero(state.ledger.charge)
    assert held.tolist() == sorted(model.held)
    assert state.ledger.counts[RESIDENTS] == state.slots.size[0]


@given(hit_age=st.integers(0, 500), end_age=st.integers(501, 1_000), hits=st.integers(1, 9), ends=st.integers(1, 9))
def test_density_is_hits_to_come_per_time_to_stay(hit_age: int, end_age: int, hits: int, ends: int) -> None:
    """Objects that are all hit at one age or evicted at another: expected hits / expected requests from each age on."""
    state = lhd.start(1, 1)
    state.table[lhd.HITS, 4, hit_age], state.table[lhd.EVICTED, 4, end_age] = hits, ends
    lhd._compute_densities(state)
    density = state.table[lhd.DENSITY]
    expected = hits / (hits * (hit_age + 1) + ends * (end_age + 1))
    assert density[4, 0] == pytest.approx(expected)
    assert (density[4, hit_age + 1 : lhd.OVERFLOW] == 0).all()
    assert (np.diff(density[4, : hit_age + 1]) > 0).all()
    assert (density[5, : lhd.OVERFLOW] == 0).all()


@given(counted=st.dictionaries(ages, st.integers(1, 99), max_size=20), bits=st.integers(1, 9))
def test_coarser_ages_keep_every_count(counted: dict[int, int], bits: int) -> None:
    counts, expected = np.zeros(lhd.AGES), np.zeros(lhd.AGES)
    for age, count in counted.items():
        counts[age] = count
        expected[age if age == lhd.OVERFLOW else age >> bits] += count
    lhd._coarsen(counts, bits)
    np.testing.assert_array_equal(counts, expected)


@given(age=st.integers(0, lhd.OVERFLOW - 1), bits=st.integers(0, 9))
def test_finer_ages_spread_a_count_or_move_it_to_the_end(age: int, bits: int) -> None:
    counts = np.zeros(lhd.AGES)
    counts[age] = 1
    lhd._refine(counts, bits)
    fine = slice(age << bits, min((age + 1) << bits, lhd.OVERFLOW))
    if age < lhd.AGES >> bits:
        assert (counts[fine] == 2.0**-bits).all()
        assert counts.sum() == (fine.stop - fine.start) * 2.0**-bits
    else:
        assert counts[lhd.OVERFLOW] == counts.sum() == 1


@pytest.mark.parametrize(("age", "expected"), [(0, 15), (1, 15), (2, 14), (10_000, 1), (19_999, 1), (20_000, 0)])
def test_a_class_is_a_doubling_of_the_age_at_hits(age: int, expected: int) -> None:
    assert lhd._class_of(age) == expected


def test_two_seeds_draw_other_victims_and_one_seed_the_same(make_trace: Callable[..., Trace]) -> None:
    draw = random.Random(1)
    trace = make_trace([int(90 * draw.random() ** 2) for _ in range(2_000)])
    hits = []
    for seed in (1, 1, 2):
        state, hit = lhd.start(trace.n_keys, 20, seed), np.zeros(len(trace), np.bool_)
        for span, requests in chunks(trace, Capacity(20, "objects")):
            lhd.replay(state, requests, hit[span])
        hits.append(hit.tolist())
    assert hits[0] == hits[1] != hits[2]


def test_an_object_that_looked_poor_keeps_its_code_until_it_is_out_of_mind() -> None:
    state = lhd.start(10, 2)
    state.recent[3] = 7
    assert np.flatnonzero(lhd.knows(state, slice(0, 10))).tolist() == [7]
    assert np.flatnonzero(lhd.knows(state, slice(6, 10))).tolist() == [1]
