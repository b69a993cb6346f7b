"""Fixed time to live: a copy is served for its lifetime from its admission on, however often it is requested.

The rule of expiry in memcached and Redis, and of Redis' eviction policy `volatile-ttl`, exact where that samples. A
copy leaves as soon as it expires, at the next request whatever that asks for. When the cache is full, the copy that
expires first goes; among equals, the one admitted first, so that without lifetimes this is FIFO.
"""

from cachesim.compiled import inner_kernel
from cachesim.policies.expiry.deadlines import State, admit, expire_until, knows, remove, start
from cachesim.policies.parts.ledger import hits, outlived
from cachesim.policies.parts.loop import kernels_with
from cachesim.requests import Requests

__all__ = ["State", "access", "admit", "knows", "remove", "replay", "start", "steps"]


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    expire_until(state, requests.time_s[i])
    outlived(state.ledger, requests, i)  # counts the request; what has expired is gone
    return bool(hits(state.ledger, requests.key[i]))


replay, steps = kernels_with(globals())
