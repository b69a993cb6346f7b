"""Random numbers inside kernels: reproducible from a seed, and part of a state that can be copied.

Marsaglia: Xorshift RNGs. Journal of Statistical Software 8 (14), 2003.
"""

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import kernel

RandomState = NDArray[np.uint64]


def random_states(seed: int, n: int) -> RandomState:
    """Return the states of n independent generators, uint64 (n,), none of them 0."""
    return np.random.SeedSequence(seed).generate_state(n, np.uint64) | np.uint64(1)


@kernel
def next_bits(random: RandomState, generator: int) -> np.uint64:
    """Return the next 64 random bits of one generator (xorshift64)."""
    x = random[generator]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    random[generator] = x
    return np.uint64(x)


@kernel
def below(random: RandomState, generator: int, n: int) -> int:
    """Return a random integer in [0, n); n in [1, 2^31)."""
    return int((next_bits(random, generator) >> np.uint64(33)) % np.uint64(n))


@kernel
def uniform(random: RandomState, generator: int) -> float:
    """Return a random number in [0, 1), a multiple of 2^-53."""
    return float(next_bits(random, generator) >> np.uint64(11)) * 2.0**-53
