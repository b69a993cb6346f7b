"""What a hit is worth."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.objective import fit_objective, request_values, unweighted, value_of, values_of
from schemas.errors import ConfigError
from schemas.trace import Trace

load_times_ms = st.floats(0.5, 1e4, width=32) | st.just(float("nan"))


def test_without_weights_every_hit_counts_one(make_trace: Callable[..., Trace]) -> None:
    assert request_values(make_trace([0, 1, 2]), 2, {}).tolist() == [1.0, 1.0, 1.0]


def test_values_are_weighted_multiples_of_the_training_means(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0, 1, 2], [1, 3, 8], [10.0, np.nan, 40.0], {"tariff": [2.0, 6.0, 4.0]})
    assert request_values(trace, 2, {"size_bytes": 1.0}).tolist() == [0.5, 1.5, 4.0]
    assert request_values(trace, 2, {"load_time_ms": 2.0}).tolist() == [2.0, 2.0, 8.0]
    assert request_values(trace, 2, {"tariff": 1.0, "size_bytes": 2.0}).tolist() == [1.5, 4.5, 9.0]
    assert request_values(trace, 2, {"size_bytes": 0.0}).tolist() == [0.0, 0.0, 0.0]


def test_what_is_not_finite_or_not_said_counts_as_the_training_mean(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0, 1, 2], [1, 3, 8], [10.0, np.nan, 30.0], {"tariff": [2.0, np.nan, 4.0]})
    objective = fit_objective(trace, 3, {"load_time_ms": 1.0, "tariff": 2.0})
    assert values_of(trace, objective).tolist() == pytest.approx([0.5 + 4 / 3, 3.0, 1.5 + 8 / 3])
    assert value_of(objective, np.inf, 1, np.array([-np.inf], np.float32)) == 3.0  # a live cache takes what comes
    sizes = fit_objective(trace, 3, {"size_bytes": 1.0})
    assert value_of(sizes, np.nan, 0, np.zeros(1, np.float32)) == 1.0


def test_one_request_is_worth_what_it_is_worth_in_the_trace(make_trace: Callable[..., Trace]) -> None:
    """The live cache values single requests; an objective of the earlier ones values later ones too."""
    trace = make_trace([0, 1, 2], [1, 3, 8], [10.0, np.nan, 40.0], {"tariff": [2.0, 6.0, np.nan]})
    weights = {"load_time_ms": 1.0, "size_bytes": 0.5, "tariff": 2.0}
    objective = fit_objective(trace, 2, weights)
    rows = zip(trace.load_time_ms, trace.size_bytes, trace.columns, strict=True)
    assert [value_of(objective, *row) for row in rows] == request_values(trace, 2, weights).tolist()
    assert [value_of(unweighted(1), *row) for row in [(5.0, 3, trace.columns[0])]] == [1.0]


@given(
    rows=st.lists(st.tuples(st.integers(1, 10**9), load_times_ms), min_size=1, max_size=50),
    weights=st.tuples(st.floats(0, 10), st.floats(0, 10)),
)
def test_the_mean_value_in_training_is_the_sum_of_the_weights(
    make_trace: Callable[..., Trace], rows: list[tuple[int, float]], weights: tuple[float, float]
) -> None:
    rows = [*rows, (1, 1.0)]  # one load time at least is known
    trace = make_trace(range(len(rows)), [r[0] for r in rows], [r[1] for r in rows])
    values = request_values(trace, len(rows), {"size_bytes": weights[0], "load_time_ms": weights[1]})
    assert values.mean() == pytest.approx(sum(weights))


@given(later=st.lists(load_times_ms, min_size=3, max_size=3))
def test_what_comes_after_training_does_not_change_the_values_in_it(
    make_trace: Callable[..., Trace], later: list[float]
) -> None:
    trace = make_trace(range(6), 1, [5.0, 10.0, np.nan, *later])
    values = request_values(trace, 3, {"load_time_ms": 1.0})
    assert values[:3].tolist() == pytest.approx([2 / 3, 4 / 3, 1.0])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"load_time": 1.0}, "unknown column load_time; did you mean load_time_ms"),
        ({"tarif": 1.0}, "unknown column tarif; did you mean tariff"),
        ({"qqq": 1.0}, "unknown column qqq; known: load_time_ms, size_bytes, tariff, zero"),
        ({"size_bytes": -1.0}, "weight of size_bytes must be a number >= 0, got -1.0"),
        ({"size_bytes": float("nan")}, "got nan"),
        ({"load_time_ms": 1.0}, "its mean over the first 2 requests is nan"),
        ({"zero": 1.0}, "its mean over the first 2 requests is 0.0"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(
    make_trace: Callable[..., Trace], weights: dict[str, float], message: str
) -> None:
    trace = make_trace([0, 1, 2], 1, [np.nan, np.nan, 3.0], {"tariff": [1.0, 1.0, 1.0], "zero": [0.0, 0.0, 5.0]})
    with pytest.raises(ConfigError, match=message):
        request_values(trace, 2, weights)


@pytest.mark.parametrize(("wrong", "shown"), [(-2.0, "-2"), (float("inf"), "inf")])
def test_a_column_that_would_make_a_hit_worth_less_than_nothing_or_all_is_refused(
    make_trace: Callable[..., Trace], wrong: float, shown: str
) -> None:
    trace = make_trace([0, 1, 2], columns={"margin": [5.0, 1.0, wrong]})
    with pytest.raises(ConfigError, match=f"margin cannot weigh hits, .* it is {shown} at request 2; choose another"):
        request_values(trace, 2, {"margin": 1.0})
