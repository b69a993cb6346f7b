"""How sure a difference between two policies is: intervals that respect how requests depend on each other.

Künsch: The jackknife and the bootstrap for general stationary observations. Annals of Statistics 17 (3), 1989.
Politis, Romano: A circular block-resampling procedure for stationary data. Exploring the Limits of Bootstrap, 1992.
Götze, Künsch: Second-order correctness of the blockwise bootstrap for stationary observations. Annals of Statistics 24
(5), 1996 (the bootstrap-t with blocks).
Kiefer, Vogelsang: A new asymptotic theory for heteroskedasticity-autocorrelation robust tests. Econometric Theory 21
(6), 2005 (blocks that are a fixed share of the span).

Both policies serve the same requests, so each request gives a pair of outcomes, and what makes it easy or hard for both
cancels out. Hits come in runs: one request alone says little, and only long blocks are nearly independent. The blocks
are a twelfth of the span, whatever the data: rules that choose shorter ones from the data (n^(1/3); Politis and White
2004) do not see a dependence that is weak between single requests and lasts for thousands, which is what caches show.
The few blocks are answered for by the t statistic; that makes an interval of independent requests 9 % wider.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.trace import FloatArray

Gains = NDArray[np.bool_] | FloatArray
BLOCKS = 12
CONFIDENCE = 0.95
RESAMPLES = 2_000
FEWEST_REQUESTS = 50 * BLOCKS  # a shorter span gives no interval


@dataclass(frozen=True)
class Difference:
    """By how much the ratio of one policy exceeds that of another on the same requests.

    Attributes:
        difference: of the two ratios, in [-1, 1]; beyond where stale hits weigh more than 1.
        low, high: the 95 % interval of it; None where there are too few requests for one, or too few that
            the two serve differently.
    """

    difference: float
    low: float | None
    high: float | None


def paired_difference(first: Gains, second: Gains, values: FloatArray, seed: int) -> Difference:
    """Return by how much the value ratio of `first` exceeds that of `second`.

    The interval is that of the circular block bootstrap-t: 12 blocks are drawn, and both the value that is gained and
    the value of all requests are summed over them, as the ratio has a denominator that varies too.

    Args:
        first, second: shape (n,), which requests of the span hit, or what each gained, see `metrics.gains`.
        values: shape (n,), what a hit on each is worth, >= 0 and not 0 everywhere; ones compare hit ratios.
        seed: the same seed draws the same blocks.
    """
    apart = first.astype(np.float64) - second
    gained = values * apart
    difference = float(gained.sum() / values.sum())
    if not gained.any():  # the same on each request that is worth something
        return Difference(0.0, 0.0, 0.0)
    if first.size < FEWEST_REQUESTS:
        return Difference(difference, None, None)
    largest = float(np.abs(apart).max())
    return Difference(difference, *_interval(gained, values, difference, largest, np.random.default_rng(seed)))


def _interval(
    gained: FloatArray, values: FloatArray, difference: float, largest: float, rng: np.random.Generator
) -> tuple[float | None, float | None]:
    n = gained.size
    gain, worth = (_circular_sums(column, n // BLOCKS) for column in (gained, values))  # (n,) each: a block a start
    start = rng.integers(0, n, (RESAMPLES, BLOCKS))
    drawn_gain, drawn_worth = gain[start], worth[start]
    unsure = _standard_error(gain - difference * worth, worth.mean())
    with np.errstate(divide="ignore", invalid="ignore"):  # resamples without a difference, or without any value
        drawn = drawn_gain.sum(axis=1) / drawn_worth.sum(axis=1)
        apart = drawn_gain - drawn[:, None] * drawn_worth
        statistic = (drawn - difference) / _standard_error(apart, drawn_worth.mean(axis=1))
    tail = (1 - CONFIDENCE) / 2
    statistic[np.isnan(statistic)] = np.inf
    below, above = np.quantile(statistic, (tail, 1 - tail), method="inverted_cdf")
    ends = difference - above * unsure, difference - below * unsure
    if not np.isfinite(ends).all():
        return None, None
    low, high = np.clip(ends, -largest, largest)
    return float(low), float(high)


def _standard_error(residual: FloatArray, mean_worth: FloatArray) -> FloatArray:
    """Return that of a ratio over `BLOCKS` blocks, from the blocks' residuals (..., m) and their mean worth (...)."""
    variance = (residual**2).mean(axis=-1) / (BLOCKS - 1)
    error: FloatArray = np.sqrt(variance) / mean_worth
    return error


def _circular_sums(column: FloatArray, length: int) -> FloatArray:
    """Return the sum of `length` items from each one on, shape (n,); after the last item comes the first."""
    total = np.concatenate(([0.0], np.cumsum(np.concatenate((column, column[: length - 1])))))
    sums: FloatArray = total[length:] - total[:-length]
    return sums
