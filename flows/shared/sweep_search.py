"""The search of a sweep: rounds of trials that are proposed, run side by side, and taken account of one by one."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.engine.runtime import ReportProgress, say
from flows.engine.workers import ATTEMPTS, WorkerLostError, Workers
from learning.training.checkpoint import DATA_OPTIONS, identity
from schemas.errors import ConfigError
from schemas.options.space import Options, Space, written
from schemas.options.sweep import SweepConfig
from tasks.extract.read import RowQuery
from tasks.tracking.trials import FOUND, TrialOutcome
from tasks.train.proposals import Proposal, Proposals
from tasks.train.trial import TrialJob

ROUND = 8  # trials that are proposed at once, or as many as run at once where these are more
AS_GIVEN = "as given"  # the size, where the space holds none


@dataclass(frozen=True)
class SameRows:
    """The rows that all trials of a sweep read.

    Attributes:
        query: gives them, and none that came later.
        left_out: ids of those that are invalid.
        fingerprint: of what they come to.
    """

    query: RowQuery
    left_out: NDArray[np.int64]
    fingerprint: str


@dataclass(frozen=True)
class Trial:
    """One that was tried: what of, and what came of it."""

    number: int
    size: Options
    options: Options
    outcome: TrialOutcome

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        outcome = asdict(self.outcome)
        outcome.pop("curve")
        return {
            "trial": self.number,
            "size": size_words(self.size),
            "options": {**self.size, **self.options},
            **outcome,
        }


@dataclass(frozen=True)
class _Asked:
    """A trial that was proposed."""

    number: int
    size: Options
    proposals: Proposals
    proposal: Proposal

    @property
    def options(self) -> Options:
        return self.proposal.options


class Search:
    """Searches the space of a sweep.

    Args:
        config: of the sweep.
        rows: that each trial reads.
        sweep: its run in MLflow.
        found: what came of trials before, by `key_of`.
    """

    def __init__(self, config: SweepConfig, rows: SameRows, sweep: str, found: dict[str, TrialOutcome]) -> None:
        self._config, self._rows, self._sweep, self._found = config, rows, sweep, found
        self._sizes = [(size, Proposals(config.searched, config.seed, config.is_grid)) for size in config.sizes]

    def run(
        self, workers: "Workers[TrialJob, TrialOutcome]", at_once: int, on_progress: ReportProgress
    ) -> Iterator[Trial]:
        """Yield each trial when it is known, with a line to stderr; in each size as many as the configuration says."""
        each, number = self._config.trials_of_each_size, 0
        on_progress(0, each * len(self._sizes))
        for first in range(0, each, max(ROUND, at_once)):
            count = min(max(ROUND, at_once), each - first)
            asked = []
            for size, proposals in self._sizes:
                for proposal in proposals.ask(count):
                    asked.append(_Asked(number, size, proposals, proposal))
                    number += 1
            for done, trial in enumerate(self._round(asked, workers), 1):
                on_progress(number - len(asked) + done, each * len(self._sizes))
                yield trial

    def _round(self, asked: list[_Asked], workers: "Workers[TrialJob, TrialOutcome]") -> Iterator[Trial]:
        """Yield the trials of a round: first those that need not run."""
        jobs: dict[int, tuple[_Asked, TrialJob]] = {}
        for one in asked:
            try:
                job = self._job(one)
            except ConfigError as error:  # options that do not go together
                yield self._known(one, TrialOutcome("failed", reason=str(error)))
                continue
            if job.key in self._found:
                yield self._known(one, self._found[job.key])
            else:
                jobs[one.number] = one, job
        for job, outcome in workers.run([job for _, job in jobs.values()]):
            told = outcome if isinstance(outcome, TrialOutcome) else _without_outcome(outcome)
            if told.state in FOUND:
                self._found[job.key] = told
            yield self._known(jobs[job.number][0], told)

    def _job(self, one: _Asked) -> TrialJob:
        config = self._config.trial({**one.size, **one.options})
        return TrialJob(
            number=one.number,
            sweep=self._sweep,
            config=config,
            size=size_words(one.size),
            key=identity(self._rows.fingerprint, config.model_dump(mode="json", exclude=DATA_OPTIONS)),
            query=self._rows.query,
            left_out=self._rows.left_out,
            fingerprint=self._rows.fingerprint,
            prune=self._config.prune,
        )

    def _known(self, one: _Asked, outcome: TrialOutcome) -> Trial:
        score = outcome.score if outcome.state in FOUND else None
        one.proposals.tell(one.proposal, score, outcome.curve, pruned=outcome.state == "pruned")
        trial = Trial(one.number, one.size, one.options, outcome)
        say(trial_line(trial.as_dict(), self._config.axes))
        return trial


def _without_outcome(error: BaseException) -> TrialOutcome:
    if isinstance(error, WorkerLostError):
        return TrialOutcome("lost", reason=f"its worker ended, {ATTEMPTS} times ({error})")
    return TrialOutcome("failed", reason=" ".join(str(error).split()) or type(error).__name__)


def size_words(size: Options) -> str:
    """Name a size of the cache."""
    return " ".join(f"{name}={written(value)}" for name, value in size.items()) or AS_GIVEN


def trial_line(trial: dict[str, Any], space: Space) -> str:
    """Return what there is to say of a trial."""
    score = "" if trial["score"] is None else f" {trial['score']:.4f}"
    options = " ".join(f"{name}={shown(trial['options'][name])}" for name in space)
    reason = f": {trial['reason']}" if trial["reason"] else ""
    return f"trial {trial['trial']:>3}  {trial['state']:<8}{score}  {options}{reason}"


def shown(value: Any) -> str:
    """Return a value of an option, a fraction with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else written(value)
