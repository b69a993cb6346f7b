"""What a recorded span knows of its own future."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cachesim.oracle import NEVER, next_request

keys = st.lists(st.integers(0, 8), max_size=80)


@given(keys=keys)
def test_the_next_request_is_the_first_later_one_of_the_same_key(keys: list[int]) -> None:
    expected = [keys.index(key, i + 1) if key in keys[i + 1 :] else NEVER for i, key in enumerate(keys)]
    assert next_request(np.array(keys, np.int64), 9).tolist() == expected


@given(keys=keys, cut=st.integers(0, 80))
def test_a_span_does_not_know_what_comes_after_it(keys: list[int], cut: int) -> None:
    whole = next_request(np.array(keys, np.int64), 9)[:cut]
    part = next_request(np.array(keys[:cut], np.int64), 9)
    assert part.tolist() == np.where(whole < len(part), whole, NEVER).tolist()


def test_sums_and_differences_with_never_fit_int64() -> None:
    assert -NEVER - 2**40 >= -(2**63)
    assert NEVER + 2**40 < 2**63
