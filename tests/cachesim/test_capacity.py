"""How much a cache holds."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cachesim.capacity import Capacity
from schemas.errors import ConfigError
from schemas.trace import Trace


@pytest.mark.parametrize(
    ("distinct", "fraction", "objects"), [(100, 0.25, 25), (100, 0.254, 25), (6, 0.25, 2), (9, 0.001, 1)]
)
def test_a_fraction_is_rounded_to_the_nearest_object_and_at_least_one(
    make_trace: Callable[..., Trace], distinct: int, fraction: float, objects: int
) -> None:
    assert Capacity.resolve(make_trace(list(range(distinct))), fraction=fraction) == Capacity(objects, "objects")


def test_one_percent_of_the_keys_is_the_default(make_trace: Callable[..., Trace]) -> None:
    assert Capacity.resolve(make_trace(list(range(300)))) == Capacity(3, "objects")


def test_objects_and_bytes_are_taken_as_given(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0])
    assert Capacity.resolve(trace, size=7) == Capacity(7, "objects")
    assert Capacity.resolve(trace, bytes_=7) == Capacity(7, "bytes")
    assert Capacity.resolve(make_trace([]), bytes_=7) == Capacity(7, "bytes")


def test_a_cache_that_no_object_fits_into_is_refused(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0, 1, 0], [50, 90, 50])
    assert Capacity.resolve(trace, bytes_=50).limit == 50
    with pytest.raises(ConfigError, match="no object fits into a cache of 49 bytes: the smallest takes 50"):
        Capacity.resolve(trace, bytes_=49)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 0}, "at least 1 object, got 0"),
        ({"bytes_": -5}, "at least 1 byte, got -5"),
        ({"fraction": 0.0}, r"in \(0, 1\], got 0.0"),
        ({"fraction": float("nan")}, "got nan"),
        ({"fraction": 1.5}, "got 1.5"),
        ({"size": 3, "fraction": 0.1}, "give one capacity"),
    ],
)
def test_a_capacity_that_cannot_be_used_is_refused(
    make_trace: Callable[..., Trace], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Capacity.resolve(make_trace([0, 1]), **given)


def test_an_object_is_charged_one_or_its_bytes(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0, 1, 0], [5, 9, 6])
    assert Capacity(1, "objects").charges(trace).tolist() == [1, 1, 1]
    assert Capacity(1, "bytes").charges(trace).tolist() == [5, 9, 6]


def test_bytes_count_as_objects_of_the_mean_size_of_the_distinct_keys(make_trace: Callable[..., Trace]) -> None:
    """Object 0 has 10 bytes, however often it is requested; object 1 has 30: 20 on average."""
    trace = make_trace([0, 0, 0, 1], [10, 10, 10, 30])
    assert Capacity(100, "bytes").mean_objects(trace) == 5.0
    assert Capacity(3, "bytes").mean_objects(trace) == 1.0
    assert Capacity(100, "objects").mean_objects(trace) == 100.0
    assert np.isfinite(Capacity(3, "bytes").mean_objects(trace[:0]))
