"""Replacement policies, one module each, all with the same parts in the same order.

- `State`: a NamedTuple of arrays, complete in itself: a copy of its arrays is a snapshot of the cache.
- `start(n_keys, limit)`: the state of an empty cache for object codes in [0, n_keys) whose charges may sum to `limit`.
  One that draws at random takes a `seed` as well, one that knows the future takes that, and a learned one its network.
- `access(state, requests, i)`: request i arrives, compiled; returns whether it hit. A copy that has outlived its
  lifetime leaves the cache and does not hit.
- `admit(state, requests, i)`: what request i fetched may enter, compiled; returns whether it did. Room is made first.
- `remove(state, key)`: a resident leaves the cache, whatever the policy thinks of it.
- `knows(state, codes)`: which objects of a slice of codes the state still says something about: the residents, and
  those that it remembers though they left (ghosts). The code of any other object may be given to a new one.
- `replay(state, requests, hit)`: `access` and, after a miss, `admit` in a compiled loop; `hit` says which requests hit.
- `steps`: `access`, `admit` and `remove` for Python, which cannot call the kernels of these names themselves.
  All take `replay` and `steps` from `loop.kernels_with`; most take `knows` from `ledger` or `queues`.

Rules that hold for all: an object is charged 1 or its size in bytes; a resident keeps the charge and the lifetime it
was admitted with until it leaves, since a hit serves the stored copy; one that is charged more than the limit is never
admitted; occupancy never exceeds the limit. An expired copy that nobody asks for takes room until it is evicted.
"""
