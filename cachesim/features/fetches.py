"""What a cache learns of content versions when it fetches, and the clock: features in seconds for times to live.

Only fetches show a version: what changed at the origin while a copy was served is not known here either. Objects are
remembered as long as the request history remembers their key.
"""

from typing import NamedTuple

import numpy as np

from cachesim.compiled import inner_kernel, kernel
from cachesim.features.table import IDENTITY, LOG2_1P, Feature, Float32Array
from schemas.trace import FloatArray, IntArray

UNKNOWN = -1.0
ENDPOINT_FETCH_STEP = 1 / 64  # weight of the newest fetch of a known object in an endpoint's moving averages
FIRST_INTERVAL_S = 3_600.0  # between changes, as long as none was seen
MISSING_S = 30 * 86_400.0  # seconds that stand in for those that are not known
PERIODS_S = (300.0, 3_600.0, 86_400.0)  # of the clock, UTC: what is published on a schedule mostly follows one

_CHANGES = "{} moving averages over the endpoint's fetches of objects fetched before, the newest weighs 1/64"
TIME_FEATURES = (
    Feature("since_request_s", "s", "since the object's request before this one; -1 unknown", LOG2_1P, low=-1.0),
    Feature("since_fetch_s", "s", "since the object's fetch before this one; -1 unknown", LOG2_1P, low=-1.0),
    Feature("unchanged_s", "s", "since the first fetch in a row that got the present version; 0 when new", LOG2_1P),
    Feature("known_s", "s", "since the object's first fetch that is remembered; 0 when new", LOG2_1P),
    Feature(
        "change_interval_s",
        "s",
        "from the object's first fetch to the latest one that found a change, by changes; -1 without",
        LOG2_1P,
        low=-1.0,
    ),
    Feature("changed", "1", "whether this fetch got another version than the one before; -1 unknown", IDENTITY, -1, 1),
    Feature("endpoint_change_share", "1", _CHANGES.format("share of changes:"), IDENTITY, high=1.0),
    Feature("endpoint_change_interval_s", "s", _CHANGES.format("since_fetch_s by changes, both"), LOG2_1P),
    Feature("endpoint_since_change_s", "s", "since the endpoint's latest fetch that found a change", LOG2_1P, -1.0),
    *(Feature(f"to_full_{p:g}_s", "s", f"to the next multiple of {p:g} s of UTC", LOG2_1P, high=p) for p in PERIODS_S),
)


class Fetches(NamedTuple):
    """What is remembered of fetches; no keys and no endpoints where nobody asks.

    Attributes:
        requested_s: float64 (n_keys,), the latest request of each object, -1 unknown; likewise
        fetched_s: the latest fetch,
        first_s: the first fetch,
        since_s: the first fetch in a row that got the latest version.
        version: int64 (n_keys,), as the latest fetch got it.
        changes: int64 (n_keys,), seen by fetches.
        endpoint_share: float64 (n_endpoints,), moving share of fetches that found a change; likewise
        endpoint_gap_s: of the seconds since the fetch before.
        endpoint_changed_s: float64 (n_endpoints,), the latest fetch that found a change, -1 unknown.
    """

    requested_s: FloatArray
    fetched_s: FloatArray
    first_s: FloatArray
    since_s: FloatArray
    version: IntArray
    changes: IntArray
    endpoint_share: FloatArray
    endpoint_gap_s: FloatArray
    endpoint_changed_s: FloatArray


def empty_fetches(n_keys: int, n_endpoints: int) -> Fetches:
    """Return what is remembered before the first fetch."""
    requested_s, fetched_s, first_s, since_s = (np.full(n_keys, UNKNOWN) for _ in range(4))
    return Fetches(
        requested_s,
        fetched_s,
        first_s,
        since_s,
        version=np.zeros(n_keys, np.int64),
        changes=np.zeros(n_keys, np.int64),
        endpoint_share=np.full(n_endpoints, 0.5),
        endpoint_gap_s=np.full(n_endpoints, 0.5 * FIRST_INTERVAL_S),
        endpoint_changed_s=np.full(n_endpoints, UNKNOWN),
    )


@kernel
def forget_fetches(fetches: Fetches, key: int) -> None:
    """Drop what is known of `key`."""
    fetches.requested_s[key] = UNKNOWN
    fetches.fetched_s[key] = UNKNOWN


@inner_kernel
def _since(time_s: float, then_s: float) -> float:
    return time_s - then_s if then_s >= 0 else UNKNOWN


@kernel
def note_fetch(fetches: Fetches, key: int, endpoint: int, time_s: float, version: int, row: Float32Array) -> None:
    """Take note of a fetch, and write the `TIME_FEATURES` of it to `row` (t,)."""
    row[0] = _since(time_s, fetches.requested_s[key])
    row[1] = _since(time_s, fetches.fetched_s[key])
    changed = _note_version(fetches, key, endpoint, time_s, version)
    row[2] = time_s - fetches.since_s[key]
    row[3] = time_s - fetches.first_s[key]
    changes = fetches.changes[key]
    row[4] = (fetches.since_s[key] - fetches.first_s[key]) / changes if changes else UNKNOWN
    row[5] = changed
    row[6] = fetches.endpoint_share[endpoint]
    row[7] = fetches.endpoint_gap_s[endpoint] / max(fetches.endpoint_share[endpoint], 1e-6)
    row[8] = _since(time_s, fetches.endpoint_changed_s[endpoint])
    row[9] = 300.0 - time_s % 300.0
    row[10] = 3_600.0 - time_s % 3_600.0
    row[11] = 86_400.0 - time_s % 86_400.0
    fetches.fetched_s[key] = time_s
    fetches.requested_s[key] = time_s


@inner_kernel
def _note_version(fetches: Fetches, key: int, endpoint: int, time_s: float, version: int) -> float:
    """Return whether the version is another one than at the fetch before, or UNKNOWN."""
    if fetches.fetched_s[key] < 0:
        fetches.first_s[key] = time_s
        fetches.since_s[key] = time_s
        fetches.changes[key] = 0
        fetches.version[key] = version
        return UNKNOWN
    changed = version != fetches.version[key]
    gap_s = time_s - fetches.fetched_s[key]
    fetches.endpoint_share[endpoint] += ENDPOINT_FETCH_STEP * (changed - fetches.endpoint_share[endpoint])
    fetches.endpoint_gap_s[endpoint] += ENDPOINT_FETCH_STEP * (gap_s - fetches.endpoint_gap_s[endpoint])
    if changed:
        fetches.version[key] = version
        fetches.since_s[key] = time_s
        fetches.changes[key] += 1
        fetches.endpoint_changed_s[endpoint] = time_s
    return 1.0 if changed else 0.0
