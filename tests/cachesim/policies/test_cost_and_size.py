"""What GDSF and AdaptSize make of load times and sizes, on traces made for it."""

from collections.abc import Callable

import numpy as np
import pytest

from cachesim.cache import Cache
from cachesim.capacity import Capacity
from cachesim.policies import adapt_size
from cachesim.replay import replay
from cachesim.requests import chunks
from schemas.trace import Trace
from tests.models.adapt_size import AdaptSize
from tests.models.base import Request


@pytest.fixture(scope="module")
def mixed(make_trace: Callable[..., Trace]) -> Trace:
    """30,000 requests: 60 % of skewed popularity for 300 objects of 0.1-0.2 kB; the others scan 900 of 4-5 kB."""
    rng = np.random.default_rng(5)
    small, large = rng.zipf(1.2, 30_000) % 300, 300 + np.arange(30_000) % 900
    keys = np.where(rng.random(30_000) < 0.6, small, large)
    sizes = np.where(keys < 300, 100 + keys % 100, 4_000 + keys)
    return make_trace(keys.tolist(), sizes.tolist(), np.where(keys % 3 == 0, 900.0, 1.0).tolist())


def test_adapt_size_tunes_as_its_model_does(mixed: Trace) -> None:
    """All hits and the scale after several tunings, also while the mix changes."""
    halves = [slice(0, 15_000), slice(15_000, 30_000)]
    sizes = np.concatenate([mixed.size_bytes[halves[0]], 5_200 - mixed.size_bytes[halves[1]]])
    trace = Trace(mixed.key, mixed.timestamp_s, sizes, mixed.load_time_ms, mixed.endpoint, mixed.n_keys)
    capacity = Capacity(20_000, "bytes")
    model = AdaptSize(
        capacity.limit, [Request(k, s) for k, s in zip(trace.key.tolist(), sizes.tolist(), strict=True)], seed=2
    )
    state, hit = adapt_size.start(trace.n_keys, capacity.limit, seed=2), np.zeros(len(trace), np.bool_)
    for span, requests in chunks(trace, capacity):
        adapt_size.replay(state, requests, hit[span])
    assert hit.tolist() == model.run()
    assert len(set(model.scales)) >= 2
    assert state.scale[0] == model.scales[-1]


def test_adapt_size_learns_to_keep_large_scanned_objects_out(mixed: Trace) -> None:
    capacity = Capacity(20_000, "bytes")
    hits = {policy: replay(mixed, policy, capacity).hit[10_000:].mean() for policy in ("lru", "adapt-size")}
    assert hits["adapt-size"] > hits["lru"] + 0.1


@pytest.mark.parametrize("policy", ["adapt-size", "gdsf"])
def test_requests_need_not_say_a_size_before_the_object_is_there(mixed: Trace, policy: str) -> None:
    capacity, trace = Capacity(20_000, "bytes"), mixed[:10_000]
    cache, hits = Cache(policy, capacity), []
    for key, size_bytes, load_time_ms in zip(
        trace.key.tolist(), trace.size_bytes.tolist(), trace.load_time_ms.tolist(), strict=True
    ):
        hits.append(cache.access(key))
        if not hits[-1]:
            cache.admit(key, size_bytes=size_bytes, load_time_ms=load_time_ms)
    assert hits == replay(trace, policy, capacity).hit.tolist()


@pytest.mark.parametrize("objects", [1, 30, 300])
def test_adapt_size_is_lru_when_all_objects_are_charged_alike(mixed: Trace, objects: int) -> None:
    capacity = Capacity(objects, "objects")
    outcome = replay(mixed, "adapt-size", capacity)
    np.testing.assert_array_equal(outcome.hit, replay(mixed, "lru", capacity).hit)
    assert outcome.whole.rejections == 0


def test_gdsf_saves_more_load_time_than_a_policy_that_does_not_know_it(mixed: Trace) -> None:
    capacity = Capacity(20_000, "bytes")
    saved = {policy: mixed.load_time_ms[replay(mixed, policy, capacity).hit].sum() for policy in ("lru", "gdsf")}
    assert saved["gdsf"] > 1.2 * saved["lru"]


def test_gdsf_takes_an_unknown_load_time_for_the_mean_of_the_known(make_trace: Callable[..., Trace]) -> None:
    """Object 2 of unknown cost counts (9 + 3) / 2 = 6: it stays when 3 comes, and 1 goes."""
    trace = make_trace([0, 1, 2, 3, 0, 2, 1], 1, [9.0, 3.0, np.nan, 8.0, 9.0, np.nan, 3.0])
    assert replay(trace, "gdsf", Capacity(3, "objects")).hit.tolist() == [False] * 4 + [True, True, False]


def test_gdsf_refuses_what_is_worth_less_than_those_who_would_leave(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0, 0, 1, 0], 1, [5.0, 5.0, 2.0, 5.0])
    outcome = replay(trace, "gdsf", Capacity(1, "objects"))
    assert outcome.hit.tolist() == [False, True, False, True]
    assert outcome.whole.rejections == 1
