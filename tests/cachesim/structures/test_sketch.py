"""The counting filter of W-TinyLFU."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cachesim.structures.sketch import MOST_COUNTERS, count, empty_sketch, estimate, halve

codes = st.lists(st.integers(0, 2**31 - 1), max_size=200)


@given(codes=codes, n_objects=st.integers(0, 50))
def test_an_estimate_is_never_too_small(codes: list[int], n_objects: int) -> None:
    sketch = empty_sketch(n_objects)
    for code in codes:
        count(sketch, code)
    assert all(estimate(sketch, code) >= n for code, n in Counter(codes).items())


def test_among_as_many_objects_as_it_is_made_for_hardly_an_estimate_is_wrong() -> None:
    sketch, times = empty_sketch(1_000), np.random.default_rng(3).integers(0, 6, 1_000)
    for code, n in enumerate(times):
        for _ in range(n):
            count(sketch, code)
    wrong = sum(estimate(sketch, code) != n for code, n in enumerate(times))
    assert wrong <= 5


def test_halving_halves_every_estimate() -> None:
    sketch = empty_sketch(100)
    for code, n in ((1, 7), (2, 4)):
        for _ in range(n):
            count(sketch, code)
    sketch.since_halving[0] = 9
    halve(sketch)
    assert (estimate(sketch, 1), estimate(sketch, 2), sketch.since_halving[0]) == (3, 2, 0)


def test_the_table_of_a_cache_of_many_bytes_is_bounded() -> None:
    assert empty_sketch(10**12).counters.size == MOST_COUNTERS
