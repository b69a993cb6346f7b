"""A cache that serves one request at a time, with any policy that does not know the future.

It runs the kernels of the replay on a state whose size follows what the policy knows: residents, and ghosts that are
bounded by the capacity. So it may run for ever, whatever keys come.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cachesim.capacity import Capacity
from cachesim.policies.parts.ledger import (
    ADMISSIONS,
    EVICTIONS,
    EXPIRIES,
    REJECTIONS,
    REMOVALS,
    RESIDENTS,
    USED,
    Ledger,
)
from cachesim.replay import LEARNED, columns_read, kernels_of, lifetime_s, require_causal, require_columns
from cachesim.requests import chunks, fixed, one_request
from cachesim.state import changing, copy_into, leaves
from schemas.errors import ConfigError
from schemas.trace import Trace

FIRST_CODES = 1_024  # object codes to begin with; doubled when more than three quarters of them are in use
SWEEP = 256  # codes that are looked through at a time for those that are out of use
NAN = float("nan")


@dataclass(frozen=True)
class Admission:
    """What became of a fetched object.

    Attributes:
        admitted: whether it is stored now.
        left: whose copies are no longer stored, since the admission before: evicted, or expired.
    """

    admitted: bool
    left: list[int]


@dataclass(frozen=True)
class Counts:
    """What a cache did since it was empty, and what it holds, in objects and in the unit of its capacity."""

    admissions: int
    evictions: int
    rejections: int
    expiries: int
    removals: int
    resident_objects: int
    resident_charge: int


@dataclass(frozen=True)
class Snapshot:
    """A cache at one moment.

    Attributes:
        policy, limit, unit: as the cache was made.
        arrays: name -> array; no object arrays, so that NumPy stores and loads them without pickle.
    """

    policy: str
    limit: int
    unit: str
    arrays: dict[str, NDArray[Any]]


class Cache:
    """A cache of objects named by integers in [-2^63, 2^63), e.g. 64-bit hashes of their keys.

    Args:
        policy: a name in `replay.POLICIES` or `LEARNED`, no bound.
        capacity: what the cache holds.
        ttl_s: how long a copy may be served when nothing else is said, see `replay.replay`.
        options: of the policy's `start`, e.g. `seed` of one that draws at random, or the network of a learned one.

    Raises:
        ConfigError: there is no such policy, it needs to know the future or an option that is not given, or a time to
            live is below 0.
    """

    def __init__(self, policy: str, capacity: Capacity, ttl_s: float | None = None, **options: Any) -> None:
        require_causal(policy)
        self._lifetime_s = float(lifetime_s(policy, ttl_s))
        self.policy, self.capacity = policy, capacity
        self._kernels, self._options = kernels_of(policy), options
        self._code: dict[int, int] = {}
        self._key = np.zeros(0, np.int64)
        self._free: list[int] = []
        self._left: list[int] = []
        self._hand = self._reclaimed = 0
        self._state: Any = None
        self._grow(FIRST_CODES)
        self._request, self._shown = one_request(columns_read(options))

    def access(
        self,
        key: int,
        time_s: float = 0.0,
        *,
        size_bytes: int | None = None,
        load_time_ms: float = NAN,
        endpoint: int = 0,
        columns: ArrayLike = NAN,
    ) -> bool:
        """Return whether a copy can be served; after a miss, `admit` what was fetched.

        Args:
            key: of the object that is requested.
            time_s: now. Where it falls back, copies may be served that much longer.
            size_bytes: of the object, >= 1. Where it is unset, what is not known is taken from the stored copy.
            load_time_ms: of the object, NaN where unknown.
            endpoint: of the request.
            columns: shape (m,), the feature columns of a learned policy, NaN where unknown.

        Raises:
            ConfigError: the size is below 1 byte.
        """
        _require_size(size_bytes)
        self._fill(key, time_s, size_bytes or 0, self._lifetime_s, load_time_ms, endpoint, columns)
        hit = bool(self._kernels.steps.access(self._state, self._shown, 0))
        self._note_left()
        return hit

    def admit(
        self,
        key: int,
        time_s: float = 0.0,
        *,
        size_bytes: int | None = None,
        lifetime_s: float | None = None,
        load_time_ms: float = NAN,
        endpoint: int = 0,
        columns: ArrayLike = NAN,
    ) -> Admission:
        """Store a fetched object if the policy wants it; a copy that is there is replaced.

        Args:
            key: of the object.
            time_s: now.
            size_bytes: of the object, >= 1; needed with a capacity in bytes.
            lifetime_s: how long the copy may be served, >= 0; 0 = it is not stored. Unset = the cache's.
            load_time_ms, endpoint, columns: as in `access`.

        Raises:
            ConfigError: the size is below 1 byte, or not given and needed; the lifetime is below 0 or not a number.
        """
        lifetime_s = self._lifetime_s if lifetime_s is None else lifetime_s
        if not lifetime_s >= 0:
            raise ConfigError(f"lifetime_s must be a number of seconds >= 0, got {lifetime_s}")
        _require_size(size_bytes)
        if size_bytes is None and self.capacity.unit == "bytes":
            raise ConfigError("size_bytes is needed: the capacity is in bytes")
        self.evict(key)
        self._fill(key, time_s, size_bytes or 1, lifetime_s, load_time_ms, endpoint, columns)
        admitted = bool(self._kernels.steps.admit(self._state, self._shown, 0))
        self._note_left()
        left, self._left = [key for key in self._left if not self.resident(key)], []
        return Admission(admitted, left)

    def evict(self, key: int) -> bool:
        """Take an object out, whatever the policy thinks of it; return whether it was there."""
        if not self.resident(key):
            return False
        self._kernels.steps.remove(self._state, self._code[key])
        self._state.ledger.counts[REMOVALS] += 1
        self._state.ledger.left_size[0] = 0
        return True

    def resident(self, key: int) -> bool:
        """Return whether a copy is stored; it may have expired."""
        code = self._code.get(key)
        return code is not None and bool(self._state.ledger.charge[code])

    def residents(self) -> list[int]:
        """Return the keys of all stored copies, in no particular order."""
        keys: list[int] = self._key[np.flatnonzero(self._state.ledger.charge)].tolist()
        return keys

    @property
    def counts(self) -> Counts:
        """What the cache did and what it holds."""
        count = self._state.ledger.counts.tolist()
        places = (ADMISSIONS, EVICTIONS, REJECTIONS, EXPIRIES, REMOVALS, RESIDENTS, USED)
        return Counts(*(count[place] for place in places))

    @property
    def state_bytes(self) -> int:
        """Size of the policy's state; the table of keys comes on top, about 150 bytes a key that the policy knows."""
        return sum(array.nbytes for array in leaves(self._state))

    def replay(self, trace: Trace) -> NDArray[np.bool_]:
        """Serve the requests of a trace, each followed by `admit` if it missed; return which hit, shape (n,).

        Any number of traces may follow each other; memory does not grow with them.

        Raises:
            ConfigError: the trace has not the feature columns that the network of a learned policy reads.
        """
        if self.policy in LEARNED:
            require_columns(trace, self._options)
        hit = np.zeros(len(trace), np.bool_)
        at_once = max(FIRST_CODES, self._key.size) // 2
        for span, requests in chunks(trace, self.capacity, self._lifetime_s, range(0, len(trace), at_once)):
            keys, which = np.unique(requests.key, return_inverse=True)
            self._make_free(keys.size)
            silent = self._state._replace(ledger=self._state.ledger._replace(left=np.zeros(0, np.int64)))
            codes = np.array([self._code_of(key) for key in keys.tolist()], np.int64)
            self._kernels.replay(silent, requests._replace(key=fixed(codes[which])), hit[span])
        return hit

    def snapshot(self) -> Snapshot:
        """Return a copy of all that the cache knows, but for what its options say, such as a network."""
        arrays = {f"state_{i}": array.copy() for i, array in enumerate(changing(self._state))}
        arrays["key"] = self._key.copy()
        arrays["code"] = np.fromiter(self._code.values(), np.int64)
        arrays["free"] = np.array(self._free, np.int64)
        arrays["sweep"] = np.array([self._hand, self._reclaimed])
        return Snapshot(self.policy, self.capacity.limit, self.capacity.unit, arrays)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back, or on, to a snapshot of a cache of the same policy, capacity and options.

        The network may be another one for the same features: it then takes over what the snapshot holds.

        Raises:
            ConfigError: the snapshot is of another cache.
        """
        arrays, made = snapshot.arrays, (self.policy, self.capacity.limit, self.capacity.unit)
        state = self._started(arrays["key"].size)
        stored = [arrays.get(f"state_{i}") for i in range(len(changing(state)))]
        fits = [
            old is not None and (old.shape, old.dtype) == (new.shape, new.dtype)
            for old, new in zip(stored, changing(state), strict=True)
        ]
        if (snapshot.policy, snapshot.limit, snapshot.unit) != made or not all(fits):
            raise ConfigError(
                f"the snapshot is of a cache {snapshot.policy} of {snapshot.limit} {snapshot.unit}, "
                f"not {self.policy} of {self.capacity.limit} {self.capacity.unit} with the same options"
            )
        for old, new in zip(stored, changing(state), strict=True):
            new[...] = old
        self._state, self._key = state, arrays["key"].copy()
        self._code = {int(self._key[code]): int(code) for code in arrays["code"]}
        self._left = []
        self._free, (self._hand, self._reclaimed) = arrays["free"].tolist(), arrays["sweep"].tolist()

    def _note_left(self) -> None:
        ledger: Ledger = self._state.ledger
        if ledger.left_size[0]:
            self._left += self._key[ledger.left[: ledger.left_size[0]]].tolist()
            ledger.left_size[0] = 0

    def _fill(
        self,
        key: int,
        time_s: float,
        size_bytes: int,
        lifetime_s: float,
        load_time_ms: float,
        endpoint: int,
        columns: ArrayLike,
    ) -> None:
        row = self._request
        row.key[0], row.name[0], row.time_s[0] = self._code_of(key), key, time_s
        row.size_bytes[0], row.lifetime_s[0] = size_bytes, lifetime_s
        row.charge[0] = size_bytes if self.capacity.unit == "bytes" else 1
        row.load_time_ms[0], row.endpoint[0], row.columns[0] = load_time_ms, endpoint, columns

    def _code_of(self, key: int) -> int:
        code = self._code.get(key)
        if code is None:
            self._make_free(1)
            code = self._code[key] = self._free.pop()
            self._key[code] = key
        return code

    def _make_free(self, n: int) -> None:
        """See to it that n codes are free: sweep over those that the policy forgot, and double their number if few."""
        while len(self._free) < n:
            codes = slice(self._hand, self._hand + SWEEP)
            forgotten = self._hand + np.flatnonzero(~self._kernels.knows(self._state, codes))
            for code in forgotten.tolist():
                if self._code.get(int(self._key[code])) == code:
                    del self._code[int(self._key[code])]
                    self._free.append(code)
                    self._reclaimed += 1
            self._hand += SWEEP
            if self._hand >= self._key.size:
                if self._reclaimed < self._key.size // 4 or self._key.size < 2 * n:
                    self._grow(2 * self._key.size)
                self._hand = self._reclaimed = 0

    def _grow(self, n_codes: int) -> None:
        old, state = self._key.size, self._started(n_codes)
        if old:
            copy_into(self._state, state, old, n_codes)
        self._state = state
        self._key = np.concatenate([self._key, np.zeros(n_codes - old, np.int64)])
        self._free += range(n_codes - 1, old - 1, -1)

    def _started(self, n_codes: int) -> Any:
        state = self._kernels.start(n_codes, self.capacity.limit, **self._options)
        return state._replace(ledger=state.ledger._replace(left=np.zeros(n_codes, np.int64)))


def _require_size(size_bytes: int | None) -> None:
    if size_bytes is not None and size_bytes < 1:
        raise ConfigError(f"size_bytes must be >= 1, got {size_bytes}")
