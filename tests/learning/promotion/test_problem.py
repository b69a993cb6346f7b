"""A bundle on other requests: judged as in training, with what training fitted, and nothing of what judges."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachesim.analysis.key_sample import sample_keys
from cachesim.capacity import Capacity
from cachesim.eviction.caches import remembered_keys
from learning.bundle.compiled import compiled_policy
from learning.bundle.load import LoadedBundle
from learning.describe import evaluation_dict
from learning.evaluation.evaluate import evaluate
from learning.problem import CacheProblem, build_problem
from learning.promotion.problem import _history_multiple, bundle_problem, encode_as, judged_span
from learning.run_policy import replay_policy
from schemas.errors import BundleError, ConfigError, TraceError
from schemas.options.train import TrainConfig
from schemas.trace import Trace
from tests.learning.promotion.judged_bundles import REQUESTS, make_bundle, recorded

JUDGED_FROM = 2_400
CONFIGS = {
    "eviction in bytes, weighed": TrainConfig(
        cache_bytes=20_000, history_multiple=3, cache_weights={"load_time_ms": 1.0, "size_bytes": 0.5, "holiday": 2.0}
    ),
    "ttl": TrainConfig(decision="ttl", cache_size=60, eviction="s3-fifo", ttl_ladder_s=(20, 300), staleness_weight=0.5),
    "admission": TrainConfig(decision="admission", cache_fraction=0.1, seed=3),
}


@pytest.fixture(scope="module")
def trace() -> Trace:
    return recorded()


@pytest.fixture(scope="module")
def bundles(trace: Trace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedBundle]:
    folder = tmp_path_factory.mktemp("bundles")
    return {name: make_bundle(folder / str(i), trace, config) for i, (name, config) in enumerate(CONFIGS.items())}


@pytest.fixture(scope="module")
def eviction(bundles: dict[str, LoadedBundle]) -> LoadedBundle:
    return bundles["eviction in bytes, weighed"]


def judged(bundle: LoadedBundle, problem: CacheProblem, seed: int) -> dict[str, Any]:
    return evaluation_dict(evaluate(problem, compiled_policy(bundle), seed))


@pytest.mark.parametrize("name", CONFIGS)
def test_on_the_requests_of_its_training_a_bundle_scores_exactly_as_it_did_there(
    name: str, trace: Trace, bundles: dict[str, LoadedBundle]
) -> None:
    bundle = bundles[name]
    assert bundle.metadata.data.training.requests == JUDGED_FROM
    problem = bundle_problem(bundle.metadata, trace, JUDGED_FROM)
    assert judged(bundle, problem, CONFIGS[name].seed) == bundle.metadata.evaluation


def test_on_the_sample_of_its_training_it_does_too_and_on_all_keys_the_whole_cache_serves(
    trace: Trace, tmp_path: Path
) -> None:
    sample, config = sample_keys(trace, 0.5), TrainConfig(cache_size=80, key_sample=0.5)
    bundle = make_bundle(tmp_path / "b", sample, config)
    start = judged_span(sample, [bundle.metadata], 1).start
    problem = bundle_problem(bundle.metadata, sample, start, key_sample=0.5)
    assert (problem.capacity.limit, problem.served_capacity.limit) == (40, 80)
    assert judged(bundle, problem, 0) == bundle.metadata.evaluation
    whole = bundle_problem(bundle.metadata, trace, JUDGED_FROM)
    assert (whole.capacity.limit, whole.stream.stride) == (80, 1.0)
    np.testing.assert_array_equal(whole.stream.half_lives, problem.stream.half_lives)


@given(position=st.integers(JUDGED_FROM, REQUESTS - 1), seed=st.integers(0, 99), name=st.sampled_from(sorted(CONFIGS)))
@settings(max_examples=30)
def test_what_comes_later_changes_nothing_that_the_policy_sees_or_does_before(
    position: int, seed: int, name: str, trace: Trace, bundles: dict[str, LoadedBundle]
) -> None:
    """Time never runs backwards: all columns of later requests are replaced by others, or shuffled."""
    bundle, rng = bundles[name], np.random.default_rng(seed)
    assert trace.version is not None
    order = np.concatenate([np.arange(position), position + rng.permutation(REQUESTS - position)])
    before = np.arange(REQUESTS) < position
    changed = replace(
        trace,
        key=trace.key[order],
        size_bytes=np.where(before, trace.size_bytes, rng.integers(1, 10**6, REQUESTS)),
        load_time_ms=trace.load_time_ms[order],
        endpoint=trace.endpoint[order],
        version=trace.version[order],
        columns=np.where(before[:, None], trace.columns, 1e6).astype(np.float32),
        texts=np.where(before[:, None], trace.texts, 3).astype(np.int32),
        text_values=((*trace.text_values[0], "new"),),
    )
    first, second = (bundle_problem(bundle.metadata, t, JUDGED_FROM) for t in (trace, changed))
    assert first.features == second.features
    assert first.fitted.objects == second.fitted.objects
    assert first.capacity == second.capacity
    np.testing.assert_array_equal(first.fitted.missing, second.fitted.missing)
    np.testing.assert_array_equal(np.stack(first.objective[1:]), np.stack(second.objective[1:]))
    np.testing.assert_array_equal(first.values[:position], second.values[:position])
    np.testing.assert_array_equal(first.stream.history[:position], second.stream.history[:position])
    policy = compiled_policy(bundle)
    hits = [replay_policy(problem, policy, 0)[:position] for problem in (first, second)]
    np.testing.assert_array_equal(*hits)


def test_other_requests_bring_no_category_endpoint_or_mean_of_their_own(trace: Trace, eviction: LoadedBundle) -> None:
    other = recorded(seed=5, start_s=10_000.0)
    strange = replace(
        other,
        load_time_ms=np.full(REQUESTS, np.nan, np.float32),
        endpoint_names=("/new", "/b", "/newer", "/a"),
        text_values=(("never seen", "NO2", "also new"),),
    )
    problem = bundle_problem(eviction.metadata, strange, 1_000, weights={})
    trained = build_problem(trace, CONFIGS["ttl"])
    assert [f.name for f in problem.features] == [f.name for f in eviction.metadata.features]
    assert set(problem.trace.columns[:, 2:].sum(axis=1)) == {0.0, 1.0}
    known, area = problem.trace.column_names.index("area=NO2"), other.texts[:, 0]
    np.testing.assert_array_equal(problem.trace.columns[:, known], area == 1)
    assert problem.trace.endpoint_names == ("/a", "/b", "/c", "")
    assert np.unique(problem.trace.endpoint[other.endpoint == 3]).tolist() == [0]  # "/a"
    assert np.unique(problem.trace.endpoint[other.endpoint == 2]).tolist() == [3]  # "/newer", with all unknown ones
    np.testing.assert_array_equal(problem.fitted.missing[:3], trained.fitted.missing[:3])


def test_columns_that_the_rows_lack_are_named_in_one_error(trace: Trace, eviction: LoadedBundle) -> None:
    less = replace(trace, columns=trace.columns[:, :1].copy(), column_names=("wind",), text_names=(), text_values=())
    with pytest.raises(TraceError, match=r"^the requests lack holiday, area, which the policy was trained on"):
        bundle_problem(eviction.metadata, less, JUDGED_FROM)
    swapped = replace(trace, text_names=("wind",), column_names=("area", "holiday"))
    with pytest.raises(TraceError, match="trained on wind as numbers, and the requests hold it otherwise"):
        encode_as(eviction.metadata, swapped)


def test_columns_may_come_in_any_order_among_others(trace: Trace, eviction: LoadedBundle) -> None:
    more = np.column_stack([trace.columns[:, 1], np.arange(REQUESTS), trace.columns[:, 0]]).astype(np.float32)
    mixed = replace(trace, columns=more, column_names=("holiday", "other", "wind"))
    one, other = (encode_as(eviction.metadata, t) for t in (trace, mixed))
    assert one.sha256 == other.sha256


def test_another_capacity_is_followed_by_all_that_depends_on_it(trace: Trace, bundles: dict[str, LoadedBundle]) -> None:
    for name, capacity, options in (
        ("eviction in bytes, weighed", Capacity(50_000, "bytes"), {"cache_bytes": 50_000}),
        ("eviction in bytes, weighed", Capacity(90, "objects"), {"cache_bytes": None, "cache_size": 90}),
        ("ttl", Capacity(25_000, "bytes"), {"cache_size": None, "cache_bytes": 25_000}),
    ):
        trained = build_problem(trace, CONFIGS[name].model_copy(update=options))
        problem = bundle_problem(bundles[name].metadata, trace, JUDGED_FROM, capacity)
        assert problem.fitted.objects == pytest.approx(trained.fitted.objects)
        np.testing.assert_allclose(problem.stream.half_lives, trained.stream.half_lives)
        np.testing.assert_allclose(problem.stream.history, trained.stream.history, rtol=1e-4)


def test_a_cache_that_nothing_warmed_can_be_judged_unless_something_has_to_be_known(
    trace: Trace, bundles: dict[str, LoadedBundle], eviction: LoadedBundle
) -> None:
    found = evaluate(bundle_problem(bundles["ttl"].metadata, trace, 0), compiled_policy(bundles["ttl"]), 0)
    assert found.policy.requests == REQUESTS
    evaluate(bundle_problem(eviction.metadata, trace, 0, weights={}), compiled_policy(eviction), 0)
    with pytest.raises(ConfigError, match="weighs hits by load_time_ms, size_bytes, holiday, relative to the mean"):
        bundle_problem(eviction.metadata, trace, 0)
    with pytest.raises(ConfigError, match="give cache_size, or read earlier ones too"):
        bundle_problem(bundles["ttl"].metadata, trace, 0, Capacity(10_000, "bytes"))


def test_requests_later_than_every_training_judge(trace: Trace, eviction: LoadedBundle) -> None:
    span = judged_span(trace, [eviction.metadata], 1_000)
    assert (span.start, span.requests, span.later) == (JUDGED_FROM, REQUESTS - JUDGED_FROM, True)
    assert span.first_timestamp == datetime.fromtimestamp(JUDGED_FROM, UTC)
    newer = eviction.metadata.data.training.model_copy(update={"last_timestamp": datetime.fromtimestamp(2_999, UTC)})
    data = eviction.metadata.data.model_copy(update={"training": newer})
    both = [eviction.metadata, eviction.metadata.model_copy(update={"data": data})]
    assert judged_span(trace, both, 1_000).start == 3_000
    with pytest.raises(TraceError, match=r"^1,000 of 4,000 requests are later .* at least 1,001 are needed to judge"):
        judged_span(trace, both, 1_001)


def test_with_a_warm_up_it_is_told_whether_what_judges_is_later(trace: Trace, eviction: LoadedBundle) -> None:
    assert judged_span(trace, [eviction.metadata], 1, 0.6).later
    early = judged_span(trace, [eviction.metadata], 1, 0.25)
    assert (early.start, early.later) == (1_000, False)
    assert early.as_dict()["later_than_training"] is False
    assert judged_span(recorded(start_s=1e6), [eviction.metadata], 1, 0.0).later
    with pytest.raises(TraceError, match=r"^200 of 4,000 requests are left behind a warm_up of 0.95"):
        judged_span(trace, [eviction.metadata], 1_000, 0.95)


@given(multiple=st.integers(1, 50), objects=st.floats(1, 1e6))
def test_the_history_is_as_long_as_in_training(multiple: int, objects: float, eviction: LoadedBundle) -> None:
    capacity = eviction.metadata.capacity.model_copy(update={"objects": objects})
    changes = {"capacity": capacity, "history_keys": remembered_keys(objects, multiple)}
    assert _history_multiple(eviction.metadata.model_copy(update=changes)) == multiple


def test_a_bundle_of_other_features_or_sizes_is_refused(trace: Trace, eviction: LoadedBundle) -> None:
    features = eviction.metadata.features
    for changed in (features[::-1], (features[0].model_copy(update={"unit": "s"}), *features[1:])):
        with pytest.raises(BundleError, match="features are not those of this program"):
            bundle_problem(eviction.metadata.model_copy(update={"features": changed}), trace, JUDGED_FROM)
    with pytest.raises(BundleError, match="no whole multiple"):
        bundle_problem(eviction.metadata.model_copy(update={"history_keys": 7}), trace, JUDGED_FROM)
