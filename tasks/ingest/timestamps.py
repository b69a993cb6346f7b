"""Moments written as numbers: their unit is told by their magnitude."""

SECONDS_BELOW = 1e11
MILLISECONDS_BELOW = 1e14
END_OF_TIME_S = 253_402_300_800  # year 10000, which no datetime reaches


def unit_us(largest: float) -> int:
    """Return the microseconds of one unit of moments up to `largest`: seconds below 1e11, ms below 1e14, else us."""
    return 1_000_000 if largest < SECONDS_BELOW else 1_000 if largest < MILLISECONDS_BELOW else 1
