"""What goes into a bundle beside the network: its description, and states to check the exported files on."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cachesim.analysis.metrics import Score
from cachesim.eviction.caches import remembered_keys
from cachesim.eviction.decisions import Decisions, blind_oracle
from cachesim.eviction.scorer import Scorer, score_raw
from cachesim.features.table import FEATURES, LOAD_TIME_AT, LOG2_1P, MOMENT_FEATURES, TRANSFORMS, Feature, Float32Array
from cachesim.miss.decider import Decider, scores_of
from cachesim.miss.problem import Setting
from cachesim.miss.replay import Future
from cachesim.policies.learned import SERVING_CANDIDATES
from learning.evaluation.evaluate import Comparison, Evaluation
from learning.evaluation.hybrid import Hybrid
from learning.problem import CacheProblem
from learning.training.initial_decisions import PARALLEL_CACHES, TRAINING_CANDIDATES
from learning.training.train import TrainedPolicy
from schemas import bundle
from schemas.options.train import Decision, TrainConfig
from schemas.trace import Trace

CHECKED_STATES = 10_000
LOAD_TIME = FEATURES[MOMENT_FEATURES + LOAD_TIME_AT]
ACTION: dict[Decision, str] = {
    "eviction": "the candidate with the highest score is dropped; dropping the incoming object is not admitting it",
    "admission": "the action with the higher score is taken: 0 = what was fetched is not stored, 1 = it is",
    "ttl": "the action with the highest score is taken: it says for how long what was fetched is served",
}
LIBRARIES = ("torch", "stable-baselines3", "gymnasium", "numba", "numpy", "onnx", "mlflow")


def describe(
    problem: CacheProblem,
    trained: TrainedPolicy,
    evaluation: Evaluation,
    config: TrainConfig,
    mixed: Hybrid | None = None,
) -> bundle.PolicyDescription:
    """Return the description of a trained and judged policy, for `metadata.json`.

    `mixed` has the times to live that keep to a staleness budget, when there is one.
    """
    served, objects = problem.served_capacity, problem.served_capacity.mean_objects(problem.span)
    return bundle.PolicyDescription(
        decision=config.decision,
        algorithm=config.algorithm,
        features=_features(problem),
        feature_columns=problem.feature_columns,
        endpoints=problem.span.endpoint_names[: int(problem.span.endpoint.max()) + 1],
        candidates=None if problem.setting else _candidates(config),
        actions=_actions(problem.setting) if problem.setting else None,
        endpoint_lifetimes=_endpoint_lifetimes(mixed) if mixed else None,
        action=ACTION[config.decision],
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


def _candidates(config: TrainConfig) -> bundle.Candidates:
    return bundle.Candidates(training=config.candidates or TRAINING_CANDIDATES, use=SERVING_CANDIDATES)


def _actions(setting: Setting) -> bundle.MissActions:
    return bundle.MissActions(
        eviction=setting.eviction,
        lifetimes_s=tuple(s if np.isfinite(s) else None for s in setting.ladder_s.tolist()),
        staleness_weight=setting.staleness_weight,
    )


def _endpoint_lifetimes(mixed: Hybrid) -> bundle.EndpointLifetimes:
    return bundle.EndpointLifetimes(staleness_budget=mixed.budget, lifetimes_s=mixed.lifetime_s)


def _features(problem: CacheProblem) -> tuple[bundle.Feature, ...]:
    means = iter(problem.fitted.missing)  # of the load time, then of the columns
    return tuple(
        _feature(feature, _stand_in(feature, next(means)) if feature == LOAD_TIME or feature.column else None)
        for feature in problem.features
    )


def _stand_in(feature: Feature, mean: np.float32) -> float:
    """Return what stands in for a value that a request lacks, the shortest decimal that reads back as the float32."""
    return 0.0 if feature.category is not None else float(str(mean))


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
        "reference": evaluation.reference,
        "gap_closed": evaluation.gap_closed,
        "gaps_closed": evaluation.gaps_closed,
    }


def _dicts(parts: Mapping[str, Score | Comparison]) -> dict[str, dict[str, Any]]:
    return {name: asdict(part) for name, part in parts.items()}


def decision_states(
    problem: CacheProblem, policy: Scorer | Decider, seed: int, states: int = CHECKED_STATES
) -> tuple[Float32Array, NDArray[np.float32]]:
    """Return raw features that the policy meets on the training span, and its scores.

    Returns:
        float32 (states, k, f) of the candidates of evictions and (states, k); of misses (m, 1, f) and (m, actions), m
        being at most `states`.
    """
    if problem.setting is not None:
        assert isinstance(policy, Decider)
        rows = Future(problem.setting.of_training).contexts(policy, 1.0, states, seed).rows
        return rows[:, None], scores_of(policy, rows)
    assert isinstance(policy, Scorer)
    return _eviction_states(problem, policy, seed, states)


def _eviction_states(
    problem: CacheProblem, scorer: Scorer, seed: int, states: int
) -> tuple[Float32Array, NDArray[np.float32]]:
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
