"""Sliding time to live: each request renews the life of a copy, which expires when nobody asks for it in that time.

The rule of Caffeine's and Guava's `expireAfterAccess` and of memcached's `touch`. A hit gives the copy the lifetime of
that request; 0 makes this hit the last one. Copies leave as soon as they expire, at the next request whatever it asks
for. When the cache is full, the copy that expires first goes; among equals, the one renewed longest ago, so that
without lifetimes this is LRU.
"""

import numpy as np

from cachesim.compiled import inner_kernel
from cachesim.policies.expiry.deadlines import State, admit, expire_until, knows, remove, start
from cachesim.policies.parts.ledger import MORTAL, hits, outlived
from cachesim.policies.parts.loop import kernels_with
from cachesim.requests import Requests
from cachesim.structures.heap import put

__all__ = ["State", "access", "admit", "knows", "remove", "replay", "start", "steps"]


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key = requests.key[i]
    expire_until(state, requests.time_s[i])
    outlived(state.ledger, requests, i)  # counts the request; what has expired is gone
    if not hits(state.ledger, key):
        return False
    expires_s = requests.time_s[i] + requests.lifetime_s[i]
    put(state.expiry, key, expires_s)
    state.ledger.expires_s[key] = expires_s
    if expires_s != np.inf:
        state.ledger.counts[MORTAL] = 1
    return True


replay, steps = kernels_with(globals())
