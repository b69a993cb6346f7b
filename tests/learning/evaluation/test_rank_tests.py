"""The rank test: false alarms no more often than stated, whatever the numbers; and the same as counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from learning.evaluation.rank_tests import critical_value, p_values, standardised, unstandardised, windows_needed

shapes = st.tuples(st.integers(2, 12), st.integers(1, 4))
matrices = shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=st.integers(-3, 3) | st.floats(-1e3, 1e3)))
sums_of_squares = shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(0, 1e3)))
rates = st.floats(0.01, 0.99)


@given(sums_of_squares, rates)
def test_of_all_windows_no_more_than_the_stated_share_stand_out_when_each_takes_its_turn_as_the_newest(found, rate):
    """With exchangeable windows each is as likely to be the newest: this is the chance of a false alarm, exactly."""
    turns = [standardised(np.roll(found, turn, axis=0)) for turn in range(found.shape[0])]
    assert sum(p_values(scores).min() <= rate for scores in turns) <= rate * found.shape[0]


@given(matrices)
def test_p_values_are_counted(scores):
    others, newest = scores[:-1], scores[-1]
    for found, score in zip(p_values(scores), newest, strict=True):
        as_extreme = [row for row in others if any(value >= score for value in row)]
        assert found == (1 + len(as_extreme)) / len(scores)


@given(matrices, rates)
def test_what_exceeds_the_critical_value_is_what_has_a_small_p_value(scores, rate):
    critical = critical_value(scores, rate)
    assert ((scores[-1] > critical) == (p_values(scores) <= rate)).all()


@given(matrices, st.randoms())
def test_the_order_of_the_windows_that_are_compared_with_is_of_no_matter(scores, random):
    order = random.sample(range(len(scores) - 1), len(scores) - 1)
    assert p_values(scores[[*order, -1]]) == pytest.approx(p_values(scores))


@given(rates)
def test_so_many_windows_are_needed_and_no_fewer(rate):
    needed = windows_needed(rate)
    assert 1 / (needed + 1) <= rate
    assert needed == 0 or 1 / needed > rate


@given(sums_of_squares)
def test_standardising_is_undone(found):
    scores = standardised(found)
    for column in range(found.shape[1]):
        varies = scores[:, column].any()
        back = unstandardised(found, float(scores[0, column]))[column]
        assert back == pytest.approx(found[0, column], rel=1e-6, abs=1e-9) if varies else back == np.inf


def test_the_false_alarm_rate_of_independent_windows_is_the_stated_one():
    """2,000 checks of 3 dependent chi-square statistics: 5 % of them within four standard errors."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(2_000):
        shared = rng.normal(size=(40, 9))
        found = np.column_stack([(shared[:, :k] ** 2).sum(axis=1) for k in (1, 3, 9)])
        alarms += p_values(standardised(found)).min() <= 0.05
    assert alarms / 2_000 == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 2_000))
