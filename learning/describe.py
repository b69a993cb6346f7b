"""What goes into a bundle beside the network: its description, and states to check the exported files on."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cachesim.features import FEATURES, LOAD_TIME_AT, LOG2_1P, MOMENT_FEATURES, TRANSFORMS, Feature, Float32Array
from cachesim.history import missing_values
from cachesim.metrics import Score
from cachesim.policies.learned import SERVING_CANDIDATES
from cachesim.rollout import Decisions, blind_oracle
from cachesim.sampled import remembered_keys
from cachesim.scorer import Scorer, score_raw
from learning.algorithms import PARALLEL_CACHES
from learning.evaluate import Comparison, Evaluation
from learning.problem import CacheProblem
from learning.train import TRAINING_CANDIDATES, TrainedPolicy
from schemas import bundle
from schemas.config import TrainConfig
from schemas.trace import Trace

CHECKED_STATES = 10_000
ACTION = "the candidate with the highest score is dropped; dropping the incoming object is not admitting it"
LIBRARIES = ("torch", "stable-baselines3", "gymnasium", "numba", "numpy", "onnx", "mlflow")


def describe(
    problem: CacheProblem, trained: TrainedPolicy, evaluation: Evaluation, config: TrainConfig
) -> bundle.PolicyDescription:
    """Return the description of a trained and judged policy, for `metadata.json`."""
    served, objects = problem.served_capacity, problem.served_capacity.mean_objects(problem.span)
    return bundle.PolicyDescription(
        decision=config.decision,
        algorithm=config.algorithm,
        features=_features(problem),
        feature_columns=problem.feature_columns,
        endpoints=problem.span.endpoint_names[: int(problem.span.endpoint.max()) + 1],
        candidates=bundle.Candidates(training=TRAINING_CANDIDATES, use=SERVING_CANDIDATES),
        action=ACTION,
        capacity=bundle.Capacity(limit=served.limit, unit=served.unit, objects=objects),
        history_keys=remembered_keys(objects, config.history_multiple),
        objective=config.cache_weights,
        data=bundle.DataSummary(
            fingerprint=problem.trace.sha256,
            distinct_keys=problem.trace.distinct_keys,
            key_sample=config.key_sample,
            training=_span(problem.span),
            **dict(_span(problem.trace)),
        ),
        seeds={"training": config.seed, "evaluation": config.seed},
        hyperparameters=trained.hyperparameters,
        versions={library: version(library) for library in LIBRARIES},
        evaluation=evaluation_dict(evaluation),
        created_at=datetime.now(UTC),
    )


def _features(problem: CacheProblem) -> tuple[bundle.Feature, ...]:
    means = missing_values(problem.span)  # of the load time, then of the columns
    at = (MOMENT_FEATURES + LOAD_TIME_AT, *range(len(FEATURES), len(problem.features)))
    stand_ins = {i: 0.0 if problem.features[i].category is not None else _short(means[k]) for k, i in enumerate(at)}
    return tuple(_feature(feature, stand_ins.get(i)) for i, feature in enumerate(problem.features))


def _feature(feature: Feature, missing_value: float | None) -> bundle.Feature:
    return bundle.Feature(
        name=feature.name,
        unit=feature.unit,
        definition=feature.definition,
        transform=TRANSFORMS[feature.transform],
        missing="-1" if feature.transform == LOG2_1P and feature.low < 0 else "",
        column=feature.column,
        category=feature.category,
        missing_value=missing_value,
    )


def _short(value: np.float32) -> float:
    """Return the shortest decimal that reads back as the same float32."""
    return float(str(value))


def _span(trace: Trace) -> bundle.Span:
    first, last = (datetime.fromtimestamp(float(trace.timestamp_s[i]), UTC) for i in (0, -1))
    return bundle.Span(requests=len(trace), first_timestamp=first, last_timestamp=last)


def evaluation_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON, without its timeline: scores and comparisons by name, and what they come to."""
    test = {
        "policy": asdict(evaluation.policy),
        "variants": _dicts(evaluation.variants),
        "baselines": _dicts(evaluation.baselines),
        "bounds": _dicts(evaluation.bounds),
        "comparisons": {name: _dicts(found) for name, found in evaluation.comparisons.items()},
    }
    return {
        "test": test,
        "best_baseline": evaluation.best_baseline,
        "bound": evaluation.bound,
        "gap_closed": evaluation.gap_closed,
        "gaps_closed": evaluation.gaps_closed,
    }


def _dicts(parts: Mapping[str, Score | Comparison]) -> dict[str, dict[str, Any]]:
    return {name: asdict(part) for name, part in parts.items()}


def decision_states(
    problem: CacheProblem, scorer: Scorer, seed: int, states: int = CHECKED_STATES
) -> tuple[Float32Array, NDArray[np.float32]]:
    """Return raw features (states, k, f) that the policy meets on the training span, and its scores (states, k)."""
    oracle = blind_oracle(problem.training)
    decisions = Decisions(
        problem.training_stream,
        oracle,
        problem.trace.n_keys,
        batch=PARALLEL_CACHES,
        candidates=TRAINING_CANDIDATES,
        seed=seed,
    )
    decisions.resync(scorer)
    raw: list[Float32Array] = [decisions.reset().copy()]
    scores = [_scores(scorer, raw[0])]
    while len(raw) * PARALLEL_CACHES < states:
        decisions.step(scores[-1].argmax(axis=1))
        raw.append(decisions.rows.copy())
        scores.append(_scores(scorer, raw[-1]))
    return np.concatenate(raw)[:states], np.concatenate(scores)[:states]


def _scores(scorer: Scorer, raw: Float32Array) -> NDArray[np.float32]:
    scores: NDArray[np.float32] = score_raw(scorer, raw.reshape(-1, raw.shape[2])).reshape(raw.shape[:2])
    return scores
