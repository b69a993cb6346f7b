"""The heap gives what sorting by priority and turn gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.structures.heap import empty_heap, put, take, top

KEYS = 12
operations = st.lists(st.tuples(st.integers(0, KEYS - 1), st.sampled_from([None, 0, 1, 2, 3, float("inf")])))


@pytest.mark.parametrize("priority", [np.int64, np.float64])
@given(operations=operations)
def test_the_smallest_priority_is_on_top_and_among_equals_the_one_set_first(
    priority: type[np.int64] | type[np.float64], operations: list[tuple[int, float | None]]
) -> None:
    """None takes the object out."""
    heap, expected = empty_heap(KEYS, priority), dict[int, float]()
    for key, value in operations:
        present = expected.pop(key, None) is not None
        if value is not None:
            value = int(min(value, 9)) if priority is np.int64 else float(value)
            put(heap, key, value)
            expected[key] = value  # the last of a dictionary, which sorting leaves behind its equals
        elif present:
            take(heap, key)
        assert heap.size[0] == len(expected)
        if expected:
            assert top(heap) == min(expected, key=lambda key: expected[key])
    for key in sorted(expected, key=lambda key: expected[key]):
        assert top(heap) == key
        take(heap, key)
    assert heap.size[0] == 0
