"""Requests with all that a policy can read, and bundles that were trained on them for no time at all."""

from pathlib import Path

import numpy as np
import torch

from cachesim.features.table import fit_normaliser
from cachesim.miss.replay import fit_decisions
from learning.bundle.export import export_bundle
from learning.bundle.load import LoadedBundle, load_bundle
from learning.describe import decision_states, describe
from learning.evaluation.evaluate import evaluate
from learning.networks import DecisionNet, ExportedPolicy, ScorerNet
from learning.problem import CacheProblem, build_problem
from learning.training.train import TrainedPolicy
from schemas.options.train import TrainConfig
from schemas.trace import Trace

REQUESTS = 4_000
AREAS = ("SE3", "DK1", "NO2")


def recorded(seed: int = 0, requests: int = REQUESTS, start_s: float = 0.0) -> Trace:
    """Requests of one a second, with numbers, a text, gaps in each, versions, and an endpoint that comes late."""
    rng = np.random.default_rng(seed)
    key = rng.zipf(1.3, requests) % 700
    endpoint = (key % 3).astype(np.int32)
    endpoint[int(0.8 * requests) :][key[int(0.8 * requests) :] % 7 == 0] = 3

    def gappy(values: np.ndarray) -> np.ndarray:
        return np.where(rng.random(requests) < 0.2, np.nan, values).astype(np.float32)

    area = np.where(rng.random(requests) < 0.2, -1, key % 3).astype(np.int32)
    return Trace(
        key=key,
        timestamp_s=start_s + np.arange(requests, dtype=np.float64),
        size_bytes=100 + key,
        load_time_ms=gappy(1.0 + key % 40),
        endpoint=endpoint,
        n_keys=700,
        endpoint_names=("/a", "/b", "/c", "/late"),
        version=np.arange(requests) // 500,
        columns=np.column_stack([gappy(rng.normal(0, 100, requests)), gappy(1.0 * (key % 2))]),
        column_names=("wind", "holiday"),
        texts=area[:, None].copy(),
        text_names=("area",),
        text_values=(AREAS,),
    )


def untrained(problem: CacheProblem, seed: int = 0) -> TrainedPolicy:
    """A random network for a problem."""
    torch.manual_seed(seed)
    width, rng = len(problem.features), np.random.default_rng(seed)
    rows = rng.uniform(0, 100, (500, width)).astype(np.float32)
    if problem.setting is not None:
        net = DecisionNet(width, problem.setting.ladder_s.size)
        return TrainedPolicy(net, fit_decisions(rows, problem.setting), {}, 1, 1.0)
    normaliser = fit_normaliser(rows, problem.trace.column_names, problem.fitted.objects)
    return TrainedPolicy(ScorerNet(width), normaliser, {}, 1, 1.0)


def make_bundle(folder: Path, trace: Trace, config: TrainConfig, seed: int = 0) -> LoadedBundle:
    """The bundle of a random network that was judged on the last part of `trace`."""
    problem = build_problem(trace, config)
    trained = untrained(problem, seed)
    evaluation = evaluate(problem, trained.policy, config.seed)
    states, scores = decision_states(problem, trained.policy, config.seed, states=200)
    policy = ExportedPolicy(trained.net, trained.normaliser)
    description = describe(problem, trained, evaluation, config)
    return load_bundle(export_bundle(policy, states, scores, description, folder))
