"""What rows must be like to be trained on: one Great Expectations suite.

Great Expectations takes seconds to import, so it is imported when a suite is made, not with this module.
`ExpectColumnQuantileValuesToBeBetween` is not used: its result holds numpy.bool, which breaks the JSON of a result.
"""

import warnings
from typing import Any

MIN_REQUESTS = 1_000
MIN_DISTINCT_KEYS = 2
LARGEST_FINITE = 1.7e308  # above every finite value that means anything, below infinity
OBJECT_COLUMN = "object"  # code of the (cache_name, cache_key) pair, added for validation


def training_rows(numeric_columns: tuple[str, ...]) -> dict[str, Any]:
    """Return the expectations (of Great Expectations' class `Expectation`), by what each is called in reports.

    Args:
        numeric_columns: numeric or boolean columns that are to be learned from; missing values are fine.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what it imports
        import great_expectations.expectations

    gx: Any = great_expectations.expectations  # its names are not typed as exported
    finite = {"min_value": -LARGEST_FINITE, "max_value": LARGEST_FINITE}
    not_negative = {"min_value": 0, "max_value": LARGEST_FINITE}
    expectations = {
        f"at least {MIN_REQUESTS:,} requests": gx.ExpectTableRowCountToBeBetween(min_value=MIN_REQUESTS),
        "timestamp is known": gx.ExpectColumnValuesToNotBeNull(column="timestamp"),
        "timestamp is whole microseconds": gx.ExpectColumnValuesToBeOfType(column="timestamp", type_="int64"),
        "timestamp never falls": gx.ExpectColumnValuesToBeIncreasing(column="timestamp"),
        "cache_name is known": gx.ExpectColumnValuesToNotBeNull(column="cache_name"),
        "cache_key is known": gx.ExpectColumnValuesToNotBeNull(column="cache_key"),
        f"at least {MIN_DISTINCT_KEYS} distinct keys": gx.ExpectColumnUniqueValueCountToBeBetween(
            column=OBJECT_COLUMN, min_value=MIN_DISTINCT_KEYS
        ),
        "some key is asked for twice": gx.ExpectColumnProportionOfUniqueValuesToBeBetween(
            column=OBJECT_COLUMN, max_value=1, strict_max=True
        ),
        "size_bytes >= 1": gx.ExpectColumnValuesToBeBetween(column="size_bytes", min_value=1),
        "load_time_ms >= 0 and finite": gx.ExpectColumnValuesToBeBetween(column="load_time_ms", **not_negative),
    }
    for name in numeric_columns:
        expectations[f"{name} is finite"] = gx.ExpectColumnValuesToBeBetween(column=name, **finite)
    return expectations
