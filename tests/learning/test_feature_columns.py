"""Columns of the table as features: encoded on the training span, described for others to compute, and used."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cachesim.features.history import missing_values
from cachesim.features.table import FEATURES, HISTORY_WIDTH, LOAD_TIME_AT, MOMENT_FEATURES, SIZE_AT, fit_normaliser
from learning.bundle.readme import bundle_readme
from learning.describe import decision_states, describe
from learning.evaluation.evaluate import evaluate
from learning.networks import ScorerNet
from learning.problem import CacheProblem, build_problem
from learning.training.train import TrainedPolicy, train
from schemas.bundle import PolicyDescription
from schemas.errors import ConfigError
from schemas.options.train import TrainConfig
from schemas.trace import Trace

REQUESTS, TRAINING = 6_000, 3_600
AREAS = ("DK1", "NO|2", "SE3")
CONFIG = TrainConfig(algorithm="a2c", cache_size=60)
Row = dict[str, Any]


@pytest.fixture(scope="module")
def recorded() -> list[Row]:
    """Requests as a service records them: with gaps, a number, a boolean, and an area that training did not know."""
    rng = np.random.default_rng(1)
    rows = []
    for n in range(REQUESTS):
        key = int(rng.zipf(1.3)) % 700
        row = {"key": key, "endpoint": int(key % 3), "size_bytes": 100 + key, "load_time_ms": float(1 + key % 40)}
        row["wind"] = float(rng.normal(0, 100))
        row["holiday"] = bool(rng.random() < 0.3)
        row["area"] = "unknown" if n > TRAINING and key % 5 == 0 else AREAS[key % 3]
        rows.append({name: None if name in GAPPY and rng.random() < 0.2 else value for name, value in row.items()})
    return rows


GAPPY = ("load_time_ms", "wind", "holiday", "area")


@pytest.fixture(scope="module")
def trace(recorded: list[Row]) -> Trace:
    def numbers(name: str) -> np.ndarray:
        return np.array([np.nan if row[name] is None else row[name] for row in recorded], np.float32)

    values = ("unknown", *AREAS)
    codes = [-1 if row["area"] is None else values.index(row["area"]) for row in recorded]
    return Trace(
        key=np.array([row["key"] for row in recorded]),
        timestamp_s=np.arange(REQUESTS, dtype=np.float64),
        size_bytes=np.array([row["size_bytes"] for row in recorded]),
        load_time_ms=numbers("load_time_ms"),
        endpoint=np.array([row["endpoint"] for row in recorded], np.int32),
        n_keys=700,
        endpoint_names=("/a", "/b", "/c", "/only later"),
        columns=np.column_stack([numbers("wind"), numbers("holiday")]),
        column_names=("wind", "holiday"),
        texts=np.array(codes, np.int32)[:, None].copy(),
        text_names=("area",),
        text_values=(values,),
    )


@pytest.fixture(scope="module")
def problem(trace: Trace) -> CacheProblem:
    return build_problem(trace, CONFIG)


@pytest.fixture(scope="module")
def policy(problem: CacheProblem) -> TrainedPolicy:
    """A random network."""
    torch.manual_seed(0)
    width = len(problem.features)
    rows = np.random.default_rng(0).uniform(0, 100, (500, width)).astype(np.float32)
    normaliser = fit_normaliser(rows, problem.trace.column_names, 60.0)
    return TrainedPolicy(ScorerNet(width), normaliser, {}, 1, 1.0)


@pytest.fixture(scope="module")
def description(problem: CacheProblem, policy: TrainedPolicy) -> PolicyDescription:
    return describe(problem, policy, evaluate(problem, policy.scorer, 0), CONFIG)


def test_numbers_come_first_and_an_indicator_follows_for_each_text_of_the_training_span(problem: CacheProblem) -> None:
    areas = {f"area={area}" for area in AREAS}
    assert problem.trace.column_names[:2] == ("wind", "holiday")
    assert set(problem.trace.column_names[2:]) == areas
    assert [feature.name for feature in problem.features[len(FEATURES) :]] == list(problem.trace.column_names)
    assert problem.feature_columns == ("wind", "holiday", "area")
    assert problem.stream.history.shape == (REQUESTS, HISTORY_WIDTH + 5)


def test_later_requests_change_no_encoding_and_no_stand_in(trace: Trace, problem: CacheProblem) -> None:
    columns, texts = trace.columns.copy(), trace.texts.copy()
    columns[TRAINING:], texts[TRAINING:] = 1e6, 0
    other = build_problem(replace(trace, columns=columns, texts=texts), CONFIG)
    assert other.indicators == problem.indicators
    np.testing.assert_array_equal(other.training_stream.history, problem.training_stream.history)


def test_text_weighs_no_hits(trace: Trace) -> None:
    with pytest.raises(ConfigError, match=r"^cache_weights: area holds text; only numbers weigh hits$"):
        build_problem(trace, CONFIG.model_copy(update={"cache_weights": {"area": 1.0}}))
    with pytest.raises(ConfigError, match="unknown column area=DK1"):
        build_problem(trace, CONFIG.model_copy(update={"cache_weights": {"area=DK1": 1.0}}))


def raw_features(metadata: dict[str, Any], row: Row) -> list[float]:
    """What a Java engineer computes from `metadata.json` for one request: its load time and its columns."""
    found = []
    for feature in metadata["features"]:
        if feature["category"] is not None:
            found.append(1.0 if row[feature["column"]] == feature["category"] else 0.0)
        elif feature["column"] or feature["name"] == "load_time_ms":
            value = row[feature["column"] or "load_time_ms"]
            found.append(feature["missing_value"] if value is None else float(value))
    return found


def test_metadata_alone_tells_how_to_compute_the_columns_of_every_state(
    problem: CacheProblem, policy: TrainedPolicy, description: PolicyDescription, recorded: list[Row]
) -> None:
    metadata = json.loads(description.model_dump_json())
    computed = np.array([raw_features(metadata, row) for row in recorded], np.float32)
    history = problem.stream.history
    np.testing.assert_array_equal(computed, np.column_stack([history[:, LOAD_TIME_AT], history[:, HISTORY_WIDTH:]]))
    # The endpoint's averages tell which request a candidate of a state was last asked for by.
    request = {row[SIZE_AT:HISTORY_WIDTH].tobytes(): number for number, row in enumerate(history)}
    states, _ = decision_states(problem, policy.scorer, seed=0, states=500)
    candidates = states.reshape(-1, len(FEATURES) + 5)[:, MOMENT_FEATURES:]
    last = [request[candidate[SIZE_AT:HISTORY_WIDTH].tobytes()] for candidate in candidates]
    assert len(set(last)) > 500
    np.testing.assert_array_equal(candidates[:, HISTORY_WIDTH:], computed[last, 1:])


def test_metadata_holds_what_a_live_cache_needs(problem: CacheProblem, description: PolicyDescription) -> None:
    assert description.feature_columns == ("wind", "holiday", "area")
    assert description.endpoints == ("/a", "/b", "/c")
    means = missing_values(problem.span)
    assert np.array(description.missing_values[:3], np.float32).tolist() == means[:3].tolist()
    assert description.missing_values[3:] == (0, 0, 0)
    assert [f.name for f in description.features if f.missing_value is None] == [
        f.name for f in FEATURES if f.name != "load_time_ms"
    ]


def test_the_readme_of_a_bundle_has_a_line_for_each_column(description: PolicyDescription) -> None:
    lines = [line for line in bundle_readme(description).splitlines() if line.startswith("| ")]
    table = [line for line in lines if line.split("|")[1].strip().isdigit()]
    assert len(table) == len(description.features)
    assert {line.replace(r"\|", "").count("|") for line in table} == {6}
    wind = next(line for line in table if "`wind`" in line)
    assert f"{description.missing_values[1]:.9g}" in wind


def test_a_bundle_without_columns_reads_as_before(description: PolicyDescription) -> None:
    document = json.loads(description.model_dump_json())
    for feature in document["features"]:
        for name in ("column", "category", "missing_value"):
            del feature[name]
    del document["endpoints"], document["feature_columns"]
    assert PolicyDescription.model_validate(document).missing_values == ()


@pytest.fixture(scope="module")
def told_trace() -> Trace:
    """8,000 requests: three of ten new objects return once, 20 to 200 requests later, and a text tells which."""
    n, rng = 8_000, np.random.default_rng(0)
    keys, returns = np.arange(n), rng.random(n) < 0.3
    due: dict[int, int] = {}
    for t in range(n):
        if t in due:
            keys[t], returns[t] = due[t], False  # it will not return again
        elif returns[t]:
            moment = t + int(rng.integers(20, 200))
            while moment in due:
                moment += 1
            due[moment] = t
    return Trace(
        key=keys,
        timestamp_s=np.arange(n, dtype=np.float64),
        size_bytes=np.ones(n, np.int64),
        load_time_ms=np.full(n, np.nan, np.float32),
        endpoint=np.zeros(n, np.int32),
        n_keys=n,
        texts=returns.astype(np.int32)[:, None].copy(),
        text_names=("kind",),
        text_values=(("report", "draft"),),
    )


def test_a_text_that_tells_which_objects_return_is_learned_from(told_trace: Trace) -> None:
    """Nothing else tells one new object from another: without the column hardly any of the .235 can be had."""
    hit_ratio, lru, belady = {}, 0.0, 0.0
    for trace in (told_trace, replace(told_trace, text_names=(), text_values=())):
        config = TrainConfig(algorithm="dqn", cache_size=40, timesteps=16_384)
        problem = build_problem(trace, config)
        policy = train(problem, config, lambda *_: None, lambda *_: None)
        found = evaluate(problem, policy.scorer, seed=0)
        hit_ratio[trace.text_names] = found.policy.hit_ratio or 0.0
        lru, belady = found.baselines["lru"].hit_ratio or 0.0, found.bounds["belady"].hit_ratio or 0.0
    assert lru < 0.05
    assert hit_ratio[()] < 0.1
    assert hit_ratio["kind",] > belady - 0.03
