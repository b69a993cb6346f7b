"""What requests must be like to be trained on: expectations of Great Expectations for the rows and for the whole.

An error in a row leaves the row out, an error of the whole stops the run, a warning is said. Great Expectations takes
seconds to import, so it is imported when a suite is made, not with this module.
`ExpectColumnQuantileValuesToBeBetween` is not used: its result holds numpy.bool, which breaks the JSON of a result.
"""

import warnings
from collections.abc import Iterable, Iterator
from typing import Any, Literal

Level = Literal["error", "warning"]
SEVERITY: dict[Level, str] = {"error": "critical", "warning": "warning"}  # as Great Expectations calls them

MIN_REQUESTS = 1_000
MIN_DISTINCT_KEYS = 2
FEW_DISTINCT_KEYS = 50  # below, all of them fit almost any cache
LITTLE_REPETITION = 0.01  # share of the requests
LARGE_KEY_SHARE = 0.5
MOST_UNKNOWN = 0.5  # share of the values that the objective or the capacity needs
MANY_UNKNOWN = 0.05
MANY_DUPLICATES = 0.01  # share of the rows; a log with whole seconds has some rightfully
DRIFT_PSI = 0.25  # "significant change", see tasks.drift.psi
LARGEST_SIZE_BYTES = 2**53  # 9 PB, beyond which a float is no longer exact
LARGEST_FINITE = 1.7e308  # above every finite value that means anything, below infinity
FUTURE_TOLERANCE_S = 86_400  # clocks that are wrong, and zones that were forgotten

NOT_NEGATIVE = {"min_value": 0, "max_value": LARGEST_FINITE}
KNOWN, OF_TYPE, IN_RANGE = "ColumnValuesToNotBeNull", "ColumnValuesToBeOfType", "ColumnValuesToBeBetween"
DUPLICATE = "(duplicate)"  # whether a row is there twice: a column added for validation
REQUESTS, DISTINCT_KEYS, SPAN_S = "requests", "distinct_keys", "span_s"
REPEATED_SHARE, LARGEST_SHARE = "repeated_request_share", "largest_key_share"
RANGES: dict[str, tuple[float, float]] = {  # of columns that services write, where they are learned from
    "item_count": (0, LARGEST_FINITE),
    "hit_ratio": (0, 1),
    "traffic_intensity": (0, LARGEST_FINITE),
    "ttl_s": (0, LARGEST_FINITE),
}


def unknown_share(column: str) -> str:
    """Return the name of the share of requests for which `column` is unknown."""
    return f"unknown_{column}_share"


def psi_of(feature: str) -> str:
    """Return the name of the population stability index of a feature."""
    return f"psi of {feature}"


def drift_of(feature: str) -> str:
    """Return what is expected of the drift of a feature, the name of that expectation."""
    return f"drift of {feature}: PSI <= {DRIFT_PSI}"


def row_expectations(numeric_columns: Iterable[str], now_us: int) -> list[Any]:
    """Return what each row must be like, as expectations whose `meta` holds `name` and `level`.

    Args:
        numeric_columns: numeric or boolean columns that are to be learned from; missing values are fine.
        now_us: microseconds since 1970 UTC.
    """
    latest_us = now_us + FUTURE_TOLERANCE_S * 1_000_000
    sizes = {"min_value": 1, "max_value": LARGEST_SIZE_BYTES}
    return [
        _expect("timestamp is known", "error", KNOWN, column="timestamp"),
        _expect("timestamp is whole microseconds", "error", OF_TYPE, column="timestamp", type_="int64"),
        _expect("timestamp never falls", "error", "ColumnValuesToBeIncreasing", column="timestamp"),
        _expect("timestamp is not in the future", "error", IN_RANGE, column="timestamp", max_value=latest_us),
        _expect("cache_name is known", "error", KNOWN, column="cache_name"),
        _expect("cache_key is known", "error", KNOWN, column="cache_key"),
        _expect("size_bytes in 1..2^53", "error", IN_RANGE, column="size_bytes", **sizes),
        _expect("load_time_ms >= 0 and finite", "error", IN_RANGE, column="load_time_ms", **NOT_NEGATIVE),
        *(expectation for name in numeric_columns for expectation in _feature_expectations(name)),
        _expect(
            f"at most {MANY_DUPLICATES:.0%} duplicate rows",
            "warning",
            "ColumnValuesToBeInSet",
            column=DUPLICATE,
            value_set=[False],
            mostly=1 - MANY_DUPLICATES,
        ),
    ]


def _feature_expectations(name: str) -> Iterator[Any]:
    finite = {**NOT_NEGATIVE, "min_value": -LARGEST_FINITE}
    yield _expect(f"{name} is finite", "error", IN_RANGE, column=name, **finite)
    if name in RANGES:
        low, high = RANGES[name]
        shown = f"{name} in {low}..{high}" if high < LARGEST_FINITE else f"{name} >= {low}"
        yield _expect(shown, "warning", IN_RANGE, column=name, min_value=low, max_value=high)


def trace_expectations(needed_columns: Iterable[str], features: Iterable[str]) -> list[Any]:
    """Return what the requests must be like as a whole: expectations of one row of facts, one column each.

    Args:
        needed_columns: whose values the objective or the capacity needs.
        features: those whose drift is known.
    """
    expectations = [
        _fact(f"at least {MIN_REQUESTS:,} requests", "error", REQUESTS, min_value=MIN_REQUESTS),
        _fact(f"at least {MIN_DISTINCT_KEYS} distinct keys", "error", DISTINCT_KEYS, min_value=MIN_DISTINCT_KEYS),
        _fact(f"at least {FEW_DISTINCT_KEYS} distinct keys", "warning", DISTINCT_KEYS, min_value=FEW_DISTINCT_KEYS),
        _fact("some key is asked for twice", "error", REPEATED_SHARE, min_value=0, strict_min=True),
        _fact(
            f"at least {LITTLE_REPETITION:.0%} of the requests repeat a key",
            "warning",
            REPEATED_SHARE,
            min_value=LITTLE_REPETITION,
        ),
        _fact(
            f"no key has more than {LARGE_KEY_SHARE:.0%} of the requests",
            "warning",
            LARGEST_SHARE,
            max_value=LARGE_KEY_SHARE,
        ),
        _fact("time passes", "warning", SPAN_S, min_value=0, strict_min=True),
    ]
    limits: tuple[tuple[Level, float], ...] = (("error", MOST_UNKNOWN), ("warning", MANY_UNKNOWN))
    expectations += [
        _fact(f"{column} is unknown for at most {limit:.0%}", level, unknown_share(column), max_value=limit)
        for column in needed_columns
        for level, limit in limits
    ]
    return expectations + [_fact(drift_of(name), "warning", psi_of(name), max_value=DRIFT_PSI) for name in features]


def _fact(name: str, level: Level, column: str, **bounds: object) -> Any:
    return _expect(name, level, "ColumnMaxToBeBetween", column=column, **bounds)


def _expect(name: str, level: Level, kind: str, **arguments: object) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what it imports
        import great_expectations.expectations

    make: Any = getattr(great_expectations.expectations, f"Expect{kind}")  # its names are not typed as exported
    return make(severity=SEVERITY[level], meta={"name": name, "level": level}, **arguments)
