"""Replacement policies, one module each, all with the same four parts.

- `State`: a NamedTuple of arrays, complete in itself: a copy of its arrays is a snapshot of the cache.
- `start(n_keys, limit)`: the state of an empty cache for object codes in [0, n_keys) whose charges may sum to `limit`.
- `access(state, key, charge)`: one request, compiled; returns whether it hit. A miss admits the object if it can.
- `replay(state, keys, charges, hit)`: `access` in a compiled loop, its answers written to `hit`.

A bound's `start` is told the future as well. Rules that hold for all: an object is charged 1 or its size in bytes; a
resident keeps the charge it was admitted with until it is evicted, since a hit serves the stored copy; one that is
charged more than the limit is never admitted; room is made before an object is admitted, so that occupancy never
exceeds the limit.
"""
