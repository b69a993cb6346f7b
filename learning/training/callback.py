"""What goes on between two rollouts of a training: reports, validation, checkpoints, fresh cache states."""

import copy
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch.nn.utils import vector_to_parameters

from envs.vector import DecisionVecEnv
from learning.callbacks import OnMetric, OnProgress, Say
from learning.networks import PolicyNet
from learning.training.algorithms import latest_loss
from learning.training.checkpoint import Checkpoint, State
from learning.training.sb3_policies import net_of
from learning.training.sb3_state import capture, restore
from learning.training.validation import Validation
from learning.training.weight_average import WeightAverage

RESYNCS = 6  # the first one before training
REPORTS = 200  # points of each metric curve


@dataclass(frozen=True)
class Kept:
    """The weights to keep so far.

    Attributes:
        weights: float32 (n_weights,), averaged.
        timesteps: decisions learned from by then.
        ratio: on the validation part; None without one.
    """

    weights: torch.Tensor
    timesteps: int
    ratio: float | None


@dataclass(frozen=True)
class Outside:
    """Where a training reports to, and what it goes on from."""

    on_metric: OnMetric
    on_progress: OnProgress
    say: Say
    checkpoint: Checkpoint | None


class Follow(BaseCallback):
    """Follows a training by Stable-Baselines3.

    `RESYNCS` times a training makes a turn: it saves its state, replays the span with the averaged weights, which are
    judged on the validation part and kept if no earlier ones did better, and loads the states of that replay into the
    caches. As every run does this, one that goes on from a checkpoint does exactly what the one before would have done.

    Attributes:
        timesteps: decisions learned from.
        seconds: duration, that of a killed run before included.
    """

    def __init__(
        self, env: DecisionVecEnv, timesteps: int, patience: int, validation: Validation, outside: Outside
    ) -> None:
        super().__init__()
        self._kept: Kept | None = None
        self.timesteps = 0
        self.seconds = 0.0
        self._env, self._total, self._patience = env, timesteps, patience
        self._validation, self._outside = validation, outside
        self._average = WeightAverage()
        self._rewards: list[float] = []
        self._reports: list[tuple[str, float, int]] = []
        self._next_report = 0
        self._next_turn = self._turn_length
        self._worse = 0  # turns in a row that brought nothing better
        self._stopped = self._restored = False

    @property
    def kept(self) -> Kept:
        """The weights to return, of a training that has ended."""
        assert self._kept is not None
        return self._kept

    @property
    def net(self) -> PolicyNet:
        """The network of those weights, on the CPU."""
        return self._net(self.kept.weights)

    @property
    def _turn_length(self) -> int:
        return max(1, self._total // RESYNCS)

    def _on_training_start(self) -> None:
        self._started_s = time.perf_counter()
        state = self._outside.checkpoint.load() if self._outside.checkpoint else None
        if state is not None:
            self._restore(state)
        self._show_progress(self.model.num_timesteps)

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps:
            self._after_update(is_last=False)

    def _on_step(self) -> bool:
        self._rewards.append(float(self.locals["rewards"].mean()))
        return not self._stopped

    def _on_training_end(self) -> None:
        if not self._stopped:
            self._after_update(is_last=True)
        self.seconds += time.perf_counter() - self._started_s

    def _after_update(self, is_last: bool) -> None:
        self.timesteps = done = self.model.num_timesteps
        turn = is_last or self._restored or done >= self._next_turn
        if not self._restored:
            self._average.add(net_of(self.model.policy))
            if turn or done >= self._next_report:
                self._report(done)
            if turn and self._outside.checkpoint:
                self._outside.checkpoint.save(self._state())
        self._restored = False
        if turn:
            self._turn(done)
            if not is_last:
                self._load_caches()

    def _turn(self, done: int) -> None:
        self._next_turn = (done // self._turn_length + 1) * self._turn_length
        weights = self._average.end_stretch()
        hit = self._env.decisions.resync(self._net(weights).compiled(self._env.decisions.normaliser))
        curves = self._validation.curves(hit)
        for name, value in curves.items():
            self._tell(name, value, done)
        self._keep_the_better(Kept(weights, done, curves.get(self._validation.decisive)))

    def _keep_the_better(self, new: Kept) -> None:
        best = None if self._kept is None else self._kept.ratio
        if best is None or new.ratio is None:
            self._kept = new
            return
        self._worse = 0 if new.ratio > best else self._worse + 1
        if new.ratio >= best:
            self._kept = new
        if self._patience and self._worse >= self._patience and new.timesteps < self._total:
            self._stopped = True
            self._outside.say(
                f"stopped after {new.timesteps:,} of {self._total:,} decisions: "
                f"the last {self._worse} validations brought nothing better"
            )

    def _load_caches(self) -> None:
        """Let the next rollout begin with the states that the replay met."""
        model: Any = self.model
        model._last_obs = self._env.reset()
        model._last_episode_starts = np.ones(self._env.num_envs, np.bool_)

    def _net(self, weights: torch.Tensor) -> PolicyNet:
        net = copy.deepcopy(net_of(self.model.policy)).cpu()
        vector_to_parameters(weights.clone(), net.parameters())
        return net

    def _report(self, done: int) -> None:
        self._next_report = done + self._total // REPORTS
        if self._rewards:
            self._tell("reward", float(np.mean(self._rewards)), done)
            self._rewards.clear()
        loss = latest_loss(self.model)
        if loss is not None:
            self._tell("loss", loss, done)
        self._show_progress(done)

    def _show_progress(self, done: int) -> None:
        self._outside.on_progress(min(done, self._total), self._total)

    def _tell(self, name: str, value: float, step: int) -> None:
        self._reports.append((name, value, step))
        self._outside.on_metric(name, value, step)

    def _state(self) -> State:
        """Return all that the rest of the training depends on, taken before the caches are loaded anew."""
        return {
            "snapshot": capture(self.model, self._env.decisions),
            "average": self._average.state(),
            "kept": None if self._kept is None else vars(self._kept),
            "worse": self._worse,
            "reports": self._reports,
            "seconds": self.seconds + time.perf_counter() - self._started_s,
        }

    def _restore(self, state: State) -> None:
        restore(self.model, self._env.decisions, state["snapshot"])
        self._average.restore(state["average"], self.model.device)
        self._kept = None if state["kept"] is None else Kept(**state["kept"])
        self._worse, self.seconds = state["worse"], state["seconds"]
        self._restored = True
        done = self.model.num_timesteps
        self._outside.say(f"going on from {min(done, self._total):,} of {self._total:,} decisions")
        for report in state["reports"]:
            self._tell(*report)
        self._next_report = done + self._total // REPORTS
