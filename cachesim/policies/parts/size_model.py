"""What hit ratio an LRU cache would reach if it admitted objects by their size: a Markov model over classes of objects.

Berger, Sitaraman, Harchol-Balter: AdaptSize, orchestrating the hot object memory cache. NSDI 2017, section 4.

An object of request rate r that is admitted with probability p is resident with probability q / (1 + q), where
q = p (exp(r T) - 1); T, the time that an object stays without requests, is such that the expected charges fill the
cache. The paper sums over objects; here objects of about the same charge and number of requests are one class.
"""

from math import exp
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel

CHARGE_CLASSES, REQUEST_CLASSES = 48, 32  # powers of 2
OBJECTS, CHARGES, REQUESTS, CHANCE = range(4)  # indices of Classes.of
BISECTIONS = 30
CERTAIN = 40.0  # exp(-40) is nothing beside 1
EVERYTHING = np.inf  # the admission scale with which all are admitted


class Classes(NamedTuple):
    """Objects by charge and number of requests.

    Attributes:
        of: float64 (4, CHARGE_CLASSES * REQUEST_CLASSES), of each class: objects, the sums of their charges and of
            their requests, and the probability of admission that is being tried.
        used: int64 (n_classes,), the classes that have objects, the first `n_used[0]` of them.
        n_used: int64 (1,).
    """

    of: NDArray[np.float64]
    used: NDArray[np.int64]
    n_used: NDArray[np.int64]


def empty_classes() -> Classes:
    """Return classes without objects."""
    n_classes = CHARGE_CLASSES * REQUEST_CLASSES
    return Classes(np.zeros((4, n_classes)), np.zeros(n_classes, np.int64), np.zeros(1, np.int64))


@inner_kernel
def clear(classes: Classes) -> None:
    """Forget all objects."""
    for j in range(classes.n_used[0]):
        for quantity in range(4):
            classes.of[quantity, classes.used[j]] = 0.0
    classes.n_used[0] = 0


@inner_kernel
def _octave(number: int, most: int) -> int:
    """Return floor(log2(number)), at most `most`; number >= 1."""
    octave = 0
    while number > 1 and octave < most:
        number >>= 1
        octave += 1
    return octave


@inner_kernel
def classify(classes: Classes, charge: int, requests: int) -> None:
    """Add an object that was requested `requests` >= 1 times."""
    row, column = _octave(charge, CHARGE_CLASSES - 1), _octave(requests, REQUEST_CLASSES - 1)
    j = row * REQUEST_CLASSES + column
    if classes.of[OBJECTS, j] == 0.0:
        classes.used[classes.n_used[0]] = j
        classes.n_used[0] += 1
    classes.of[OBJECTS, j] += 1.0
    classes.of[CHARGES, j] += charge
    classes.of[REQUESTS, j] += requests


@inner_kernel
def admission_probability(charge: float, smallest: float, scale: float) -> float:
    """Return exp(-(charge - smallest) / scale): the smallest charge is always admitted."""
    return exp((smallest - charge) / scale)


@inner_kernel
def _set_chances(classes: Classes, smallest: float, scale: float) -> None:
    for n in range(classes.n_used[0]):
        j = classes.used[n]
        charge = classes.of[CHARGES, j] / classes.of[OBJECTS, j]
        classes.of[CHANCE, j] = admission_probability(charge, smallest, scale)


@inner_kernel
def _expected(classes: Classes, quantity: int, time: float) -> float:
    """Return the sum of the charges, or of the requests, of what is expected to be resident when T is `time`."""
    total = 0.0
    for n in range(classes.n_used[0]):
        j = classes.used[n]
        stay = min(classes.of[REQUESTS, j] / classes.of[OBJECTS, j] * time, CERTAIN)
        odds = classes.of[CHANCE, j] * (exp(stay) - 1.0)
        total += classes.of[quantity, j] * (odds / (1.0 + odds))
    return total


@inner_kernel
def expected_hits(classes: Classes, limit: float, smallest: float, scale: float) -> float:
    """Return how many of the requests would hit with admission at this scale."""
    _set_chances(classes, smallest, scale)
    shortest, longest = -40.0, 40.0  # log2 of T
    for _ in range(BISECTIONS):
        middle = 0.5 * (shortest + longest)
        if _expected(classes, CHARGES, 2.0**middle) < limit:
            shortest = middle
        else:
            longest = middle
    return float(_expected(classes, REQUESTS, 2.0**shortest))


@inner_kernel
def best_scale(classes: Classes, limit: float, smallest: float) -> float:
    """Return the scale, a power of 2 up to `limit` or EVERYTHING, that promises most hits; the larger one of equals."""
    best, most = EVERYTHING, expected_hits(classes, limit, smallest, EVERYTHING)
    scale = 2.0 ** _octave(np.int64(limit), 62)
    while scale >= 1.0:
        promised = expected_hits(classes, limit, smallest, scale)
        if promised > most:
            best, most = scale, promised
        scale *= 0.5
    return best
