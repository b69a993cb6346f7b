"""What a cache learns of versions: the features against a plain record of all fetches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.features.fetches import FIRST_INTERVAL_S, TIME_FEATURES, empty_fetches, forget_fetches, note_fetch

NAMES = [feature.name for feature in TIME_FEATURES]
fetched = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.floats(0, 5_000, width=32)), min_size=1, max_size=60
)


def features(key: int, time_s: float, version: int, before: list[tuple[int, float, int]]) -> dict[str, float]:
    """Return the features of a fetch after those `before`, of keys whose endpoint is the key modulo 2."""
    mine = [(t, v) for k, t, v in before if k == key]
    known = [*mine, (time_s, version)]
    since = [t for t, _ in known]
    changes = [i for i in range(1, len(known)) if known[i][1] != known[i - 1][1]]
    share, gap_s, changed_at = 0.5, FIRST_INTERVAL_S / 2, -1.0
    for i, (k, t, v) in enumerate([*before, (key, time_s, version)]):
        earlier = [(u, w) for other, u, w in before[:i] if other == k]
        if k % 2 == key % 2 and earlier:
            share += (float(v != earlier[-1][1]) - share) / 64
            gap_s += (t - earlier[-1][0] - gap_s) / 64
            changed_at = t if v != earlier[-1][1] else changed_at
    latest_change_s = since[changes[-1]] if changes else since[0]
    return {
        "since_request_s": time_s - mine[-1][0] if mine else -1,
        "since_fetch_s": time_s - mine[-1][0] if mine else -1,
        "unchanged_s": time_s - latest_change_s,
        "known_s": time_s - since[0],
        "change_interval_s": (latest_change_s - since[0]) / len(changes) if changes else -1,
        "changed": float(version != mine[-1][1]) if mine else -1,
        "endpoint_change_share": share,
        "endpoint_change_interval_s": gap_s / share,
        "endpoint_since_change_s": time_s - changed_at if changed_at >= 0 else -1,
        "to_full_300_s": 300 - time_s % 300,
        "to_full_3600_s": 3_600 - time_s % 3_600,
        "to_full_86400_s": 86_400 - time_s % 86_400,
    }


@given(fetched=fetched)
def test_features_of_a_fetch_follow_their_definitions(fetched: list[tuple[int, int, float]]) -> None:
    fetches, row = empty_fetches(4, 2), np.zeros(len(NAMES), np.float32)
    before: list[tuple[int, float, int]] = []
    time_s = 1.7e9
    for key, version, gap_s in fetched:
        time_s += gap_s
        note_fetch(fetches, key, key % 2, time_s, version, row)
        expected = features(key, time_s, version, before)
        assert list(expected) == NAMES
        assert row.tolist() == pytest.approx(list(expected.values()), rel=1e-5, abs=1e-4)
        low, high = (np.array([getattr(f, end) for f in TIME_FEATURES]) for end in ("low", "high"))
        assert ((low <= row) & (row <= high)).all()
        before.append((key, time_s, version))


def test_an_object_that_was_forgotten_is_new_again() -> None:
    fetches, row = empty_fetches(2, 1), np.zeros(len(NAMES), np.float32)
    for time_s, version in ((10.0, 0), (20.0, 1)):
        note_fetch(fetches, 0, 0, time_s, version, row)
    forget_fetches(fetches, 0)
    note_fetch(fetches, 0, 0, 30.0, 5, row)
    assert row[:6].tolist() == [-1, -1, 0, 0, -1, -1]
