"""Rank tests: whether the newest of several windows of requests stands out, with a known chance of a false alarm.

Where the windows are exchangeable, that is, where no order of them is likelier than another, each is as likely as any
other to be the most extreme of all m + 1. So the share of windows at least as extreme as the newest is at most alpha
with a probability of at most alpha, whatever their distribution, however many statistics of a window depend on each
other, and for any m: G. Shafer, V. Vovk, A tutorial on conformal prediction, JMLR 9, 2008. Over several statistics the
most extreme one counts, as in P. Westfall, S. Young, Resampling-based multiple testing, Wiley 1993.
"""

import math

import numpy as np

from schemas.trace import FloatArray


def windows_needed(rate: float) -> int:
    """Return how many windows must be compared with, for a chance of `rate` in (0, 1) to be reachable: 1 / (m + 1)."""
    return math.ceil(1 / rate) - 1


def standardised(statistics: FloatArray) -> FloatArray:
    """Return statistics (windows, s) that are sums of squares, each in standard deviations of its own, as (windows, s).

    The cube root of such a sum is nearly normal (Wilson, Hilferty 1931), so that those of few and of many terms become
    comparable. All windows are treated alike. A statistic that is the same in all becomes 0.
    """
    roots = np.cbrt(statistics)
    spread = roots.std(axis=0)
    return np.where(spread > 0, (roots - roots.mean(axis=0)) / np.where(spread > 0, spread, 1.0), 0.0)


def unstandardised(statistics: FloatArray, score: float) -> FloatArray:
    """Return which value (s,) of each statistic has a score of `standardised`; infinity where all are the same."""
    roots = np.cbrt(statistics)
    spread = roots.std(axis=0)
    with np.errstate(invalid="ignore"):
        return np.where(spread > 0, (roots.mean(axis=0) + score * spread) ** 3, np.inf)


def critical_value(scores: FloatArray, rate: float) -> float:
    """Return what a score of the newest window must exceed to stand out; infinity where none can.

    Args:
        scores: (m + 1, s), higher = more extreme, of the windows that are compared with and, last, of the newest.
        rate: the chance of a false alarm, in (0, 1).
    """
    largest = np.sort(scores[:-1].max(axis=1))[::-1]  # (m,), from the most extreme one on
    exceeded_by = np.arange(largest.size + 1)
    allowed = int(((1 + exceeded_by) / scores.shape[0] <= rate).sum())
    if allowed == 0:
        return math.inf
    return float(largest[allowed - 1]) if allowed <= largest.size else -math.inf


def p_values(scores: FloatArray) -> FloatArray:
    """Return the p-value of each score of the newest window, (s,), in [1 / (m + 1), 1], for all s tested together.

    Where the m + 1 windows are exchangeable, the chance that any of them is at most alpha is at most alpha.

    Args:
        scores: see `critical_value`.
    """
    largest = scores[:-1].max(axis=1)  # (m,)
    at_least = (largest[:, None] >= scores[-1]).sum(axis=0)
    found: FloatArray = (1 + at_least) / scores.shape[0]
    return found
