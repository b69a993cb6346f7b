"""What a sweep tries next, and when a trial is not worth its time: both by Optuna, in this process, from a seed.

Trials are proposed in rounds, the next one when all of the last are known, so that what is tried depends on the seed
and on what was found, and not on which trial ended first.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.options.space import Axis, Choices, Options, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

STARTING_TRIALS = 10  # drawn at random before the sampler learns from what was found
JUDGED_FROM = 4  # trials of a size must be complete before another is stopped early
FIRST_JUDGED_POINT = 2  # of its curve; the first two are from before it learned, and after a sixth


@dataclass(frozen=True)
class Proposal:
    """Options to try.

    Attributes:
        options: of TrainConfig.
        trial: Optuna's record of it.
    """

    options: Options
    trial: "Trial"


class Proposals:
    """Proposes options by a tree-structured Parzen estimator (Bergstra et al. 2011), or every combination of choices.

    Args:
        space: what to vary.
        seed: the same seed and the same findings give the same proposals.
        is_grid: whether each combination is to be proposed once, in order.
    """

    def __init__(self, space: Space, seed: int, is_grid: bool) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTING_TRIALS)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._space = space
        self._distributions = {name: _distribution(axis) for name, axis in space.items()}
        if is_grid:
            words = [axis.values for axis in space.values() if isinstance(axis, Choices)]
            for one in itertools.product(*words):
                self._study.enqueue_trial(dict(zip(space, one, strict=True)))

    def ask(self, count: int) -> list[Proposal]:
        """Return so many options to try."""
        trials = [self._study.ask(self._distributions) for _ in range(count)]
        return [
            Proposal({name: self._value(name, drawn) for name, drawn in trial.params.items()}, trial)
            for trial in trials
        ]

    def tell(self, proposal: Proposal, score: float | None, curve: Sequence[float], *, pruned: bool) -> None:
        """Take what came of a proposal.

        Args:
            proposal: of `ask`.
            score: the higher, the better; None = it failed.
            curve: scores while it was trained.
            pruned: whether it was stopped early.
        """
        from optuna.trial import TrialState

        for step, value in enumerate(curve):
            proposal.trial.report(value, step)
        if score is None:
            self._study.tell(proposal.trial, state=TrialState.FAIL)
        elif pruned:
            self._study.tell(proposal.trial, state=TrialState.PRUNED)
        else:
            self._study.tell(proposal.trial, score)

    def _value(self, name: str, drawn: Any) -> Any:
        axis = self._space[name]
        return axis.values[drawn] if isinstance(axis, Choices) else drawn


def _distribution(axis: Axis) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(axis, Choices):
        return CategoricalDistribution(list(axis.values))
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.by_logarithm)
    return FloatDistribution(axis.low, axis.high, log=axis.by_logarithm)


def should_stop(curve: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    """Return whether a trial is to be stopped early: Optuna's median rule.

    It is, when the best that it reached so far is below the median of what others had at the same point.

    Args:
        curve: its scores up to now.
        others: those of the complete trials that it compares with.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=JUDGED_FROM, n_warmup_steps=FIRST_JUDGED_POINT)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for other in others:
        study.add_trial(optuna.trial.create_trial(value=max(other), intermediate_values=dict(enumerate(other))))
    trial = study.ask()
    for step, value in enumerate(curve):
        trial.report(value, step)
    return trial.should_prune()
