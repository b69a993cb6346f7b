"""The steps between the rows and the registry: learn, judge and export, with the curves kept for the record."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cachesim.policies.learned import SERVING_CANDIDATES
from learning.bundle.export import export_bundle
from learning.callbacks import OnMetric, OnProgress, Say
from learning.describe import decision_states, describe, evaluation_dict
from learning.evaluation.baselines import Replay
from learning.evaluation.evaluate import Evaluation, evaluate
from learning.evaluation.guarded import replay_guarded
from learning.evaluation.hybrid import Hybrid, hybrid
from learning.networks import ExportedPolicy, ScorerNet
from learning.problem import CacheProblem
from learning.training.algorithms import LOSS
from learning.training.online import replay_online
from learning.training.seeds import SeedRun, best_of, seed_configs, seeds_summary, train_seeds
from learning.training.train import TrainedPolicy, train
from schemas.bundle import DataProfile
from schemas.options.train import TrainConfig
from schemas.tables import utc_now
from tasks.extract.read import Watermark
from tasks.reports.plots import Curves
from tasks.steps import RUN_LOG
from tasks.tracking.tracker import Tracker
from tasks.train.checkpoints import checkpoint_path, sweep_checkpoints
from tasks.train.evaluate import log_scores


@dataclass(frozen=True)
class Learned:
    """What a training brought.

    Attributes:
        run: the policy that is kept, and its seed.
        curves: its metric curves.
        seeds: how the seeds compare, see `learning.training.seeds.seeds_summary`; None when there is one.
        checkpoints: files to remove once the run has succeeded.
    """

    run: SeedRun
    curves: Curves
    seeds: dict[str, Any] | None
    checkpoints: tuple[Path, ...]

    @property
    def trained(self) -> TrainedPolicy:
        """The policy that is kept."""
        return self.run.trained


def learn(
    problem: CacheProblem, config: TrainConfig, tracker: Tracker, on_progress: OnProgress, say: Say, folder: Path
) -> Learned:
    """Train on the training span, going on from the checkpoints of the same training in `folder`.

    The metric curves go to the tracker as well, under plain names those of the policy that is kept.
    """
    configs = seed_configs(config)
    checkpoints = {own.seed: checkpoint_path(folder, problem, own) for own in configs}
    sweep_checkpoints(folder, checkpoints.values())
    curves: dict[int, Curves] = {}

    def train_one(own: TrainConfig, on_metric: OnMetric, on_own_progress: OnProgress) -> TrainedPolicy:
        found = curves[own.seed] = defaultdict(list)

        def tell(name: str, value: float, step: int) -> None:
            found[name].append((step, value))
            on_metric(name, value, step)
            if name.endswith("_ratio"):  # a few times a training; reward and loss come by the hundred
                RUN_LOG.info(_turn_words(found, name))

        return train(problem, own, tell, on_own_progress, checkpoints[own.seed], say)

    def log(name: str, value: float, step: int) -> None:
        tracker.metric(f"curves/{name}", value, step)

    runs = train_seeds(configs, log, on_progress, train_one)
    kept = best_of(runs)
    summary = None
    if len(runs) > 1:
        summary = seeds_summary(problem, runs)
        for name, points in curves[kept.seed].items():
            for step, value in points:
                log(name, value, step)
    return Learned(kept, dict(curves[kept.seed]), summary, tuple(checkpoints.values()))


def _turn_words(curves: Curves, name: str) -> str:
    """Return how far a training is: the value of a curve that was just told, and the latest reward and loss."""
    step, value = curves[name][-1]
    rest = [f"{other} {curves[other][-1][1]:.4f}" for other in ("reward", "loss") if curves[other]]
    return f"{step:,} decisions: {', '.join([f'{name} {value:.4f}'.replace('_', ' '), *rest])}"


@dataclass(frozen=True)
class Judged:
    """What the judgement on the held-out span brought.

    Attributes:
        evaluation: see `learning.evaluation.evaluate`.
        hybrid: the learned eviction under times to live, with a staleness budget.
    """

    evaluation: Evaluation
    hybrid: Hybrid | None


def judge(
    problem: CacheProblem, trained: TrainedPolicy, config: TrainConfig, tracker: Tracker, on_progress: OnProgress
) -> Judged:
    """Score the policy, its variants, the baselines and the bounds on the held-out span, see
    `learning.evaluation.evaluate`.


    The variants of a learned eviction are "online", the policy that goes on learning, "guarded", the frozen one with a
    guard in charge, and, with a staleness budget, "hybrid", the frozen one under times to live.
    """
    mixed = None
    if config.staleness_budget is not None:
        mixed = hybrid(problem, trained.scorer, config.staleness_budget, config.seed)
    variants = _variants(problem, trained, config, mixed)
    evaluation = evaluate(problem, trained.policy, config.seed, variants, on_progress)
    log_scores(tracker, evaluation, trained.timesteps)
    return Judged(evaluation, mixed)


def _variants(
    problem: CacheProblem, trained: TrainedPolicy, config: TrainConfig, mixed: Hybrid | None
) -> dict[str, Replay]:
    net, seed, loss = trained.net, config.seed, LOSS[config.algorithm]
    if not isinstance(net, ScorerNet):
        return {}
    return {
        "online": lambda: replay_online(problem, net, trained.normaliser, loss, seed),
        "guarded": lambda: replay_guarded(problem, trained.scorer, seed).hit,
        **({"hybrid": lambda: mixed.hit} if mixed else {}),
    }


def export(
    problem: CacheProblem,
    trained: TrainedPolicy,
    judged: Judged,
    config: TrainConfig,
    profile: DataProfile,
    folder: Path,
) -> Path:
    """Write the checked bundle to `folder`, with the `profile` of the data; see `export_bundle`."""
    states, scores = decision_states(problem, trained.policy, config.seed)
    policy = ExportedPolicy(trained.net, trained.normaliser)
    description = describe(problem, trained, judged.evaluation, config, judged.hybrid)
    description = description.model_copy(update={"data_profile": profile})
    return export_bundle(policy, states, scores, description, folder)


def model_row(
    problem: CacheProblem,
    trained: TrainedPolicy,
    judged: Judged,
    config: TrainConfig,
    curves: Curves,
    profile: DataProfile,
    database: str,
    mark: Watermark,
) -> dict[str, Any]:
    """Return what `rl_models` records of a policy, without what the registry fills in."""
    in_objects = problem.served_capacity.unit == "objects"
    return {
        "device": config.device,
        "cache_size": problem.served_capacity.limit if in_objects else None,
        "cache_bytes": None if in_objects else problem.served_capacity.limit,
        "max_queries": config.max_queries,
        "table_name": config.table,
        "timesteps": trained.timesteps,
        "feature_columns": list(problem.feature_columns),
        "cache_weights": config.cache_weights,
        "db_type": database,
        "hyperparameters": trained.hyperparameters,
        "network_architecture": _architecture(problem, trained),
        "reward_history": curves.get("reward", []),
        "hit_rate_history": curves.get("training_hit_ratio", []),
        "training_duration_seconds": trained.seconds,
        "data_profile": profile.model_dump(mode="json"),
        "data_watermark": str(mark),
        "challenger": config.challenger,
        "metrics": evaluation_dict(judged.evaluation),
        "trained_at": utc_now(),
    }


def _architecture(problem: CacheProblem, trained: TrainedPolicy) -> dict[str, Any]:
    layers = [len(problem.features), *trained.net.widths, trained.net.last.out_features]
    shared = {"shared_by": "candidates", "candidates": SERVING_CANDIDATES} if problem.setting is None else {}
    return {"layers": layers, "activation": "relu", **shared}
