"""Windows of requests: they overlap nowhere, and drift of each is that of its rows, as computed from the rows alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.drift.psi import SMALLEST_SHARE, Binned
from tasks.drift.windows import Windows, psi_of_windows


@given(st.integers(1, 9), st.integers(0, 20), st.integers(0, 60), st.integers(0, 60))
def test_windows_overlap_nowhere_and_the_reference_ends_where_it_does(size, start, length, later):
    reference, requests = range(start, start + length), start + length + size + later
    windows = Windows.of(size, reference, requests)
    *compared, newest = windows.starts
    assert newest == requests - size
    assert len(compared) == length // size
    assert len(windows.between) == later // size
    covered = [i for first in (*compared, *windows.between, newest) for i in range(first, first + size)]
    assert covered == sorted(set(covered))
    assert all(i in reference for first in compared for i in (first, first + size - 1))
    assert not any(i in reference for first in windows.between for i in (first, first + size - 1))


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(3, 8), st.integers(2, 5))
def test_the_drift_of_a_window_is_that_of_its_rows_against_those_of_the_others(seed, size, count, bins):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, bins, size * (count + 3))
    windows = Windows.of(size, range(size * count), values.size)
    found = psi_of_windows(Binned(values, bins, ()), windows)
    rows = [set(range(first, first + size)) for first in windows.starts]
    for number, own in enumerate(rows):
        others = set().union(*rows[:number], *rows[number + 1 :])
        assert found.tested[number] == pytest.approx(_psi(values[[*own]], values[[*others]], bins))
    for number, first in enumerate(windows.between):
        reference = set().union(*rows[:-1])
        own = values[first : first + size]
        assert found.between[number] == pytest.approx(_psi(own, values[[*reference]], bins))


def _psi(some: np.ndarray, others: np.ndarray, bins: int) -> float:
    total = 0.0
    for value in range(bins):
        p, q = (max(float(np.mean(found == value)), SMALLEST_SHARE) for found in (some, others))
        total += (p - q) * np.log(p / q)
    return total
