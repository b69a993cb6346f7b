"""The options of a sweep: what is tried, how much of it, and what becomes of the best."""

import math
from functools import cached_property
from typing import Any

from pydantic import Field, model_validator

from schemas.errors import ConfigError
from schemas.options.space import SIZES, Choices, Options, Space, combinations, parse_space, sizes_of
from schemas.options.train import Algorithm, TrainConfig, parse

DEFAULT_TRIALS = 16
MOST_COMBINATIONS = 1_000  # that are all tried without being asked for
CHECKED_COMBINATIONS = 10_000
_RATE = {"learning_rate": "0.0003..0.01"}
_OF_EVICTIONS = {"candidates": "8|16|32", "horizon": "0.01..0.1"}
_OF_ALGORITHM: dict[Algorithm, dict[str, str]] = {
    "dqn": {"batch_size": "128|256|512", "gradient_steps": "1|2"},
    "ppo": {"n_steps": "16|32|64", "ent_coef": "0.0005..0.03"},
    "a2c": {"n_steps": "2|4|8", "ent_coef": "0.0005..0.03"},
}
_MORE_ENTROPY = {"ent_coef": "0.01..0.3"}  # that decisions on a miss need, see learning/training/algorithms.py


class SweepConfig(TrainConfig):
    """Try many settings of a training at once; train, judge and register the best."""

    space: dict[str, str] = Field(
        default={},
        description="what to try, OPTION=LOW..HIGH or OPTION=A|B|C, see docs/sweeps.md; unset = a space that suits "
        "algorithm and decision",
    )
    trials: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="trainings of each size to try; unset = all combinations, where the space has choices only, else "
        f"{DEFAULT_TRIALS}",
    )
    parallel: int | None = Field(
        default=None,
        ge=1,
        le=1_024,
        description="trainings at once; unset = as many as there are processors, or, with threads, 1",
    )
    prune: bool = Field(
        default=True,
        description="whether a training ends early that is worse than the median of those before it had been",
    )
    train_best: bool = Field(
        default=True,
        description="whether the best of each size is then trained with several seeds, judged on held-out requests and "
        "registered",
    )
    seeds: int = Field(
        default=3, ge=1, le=100, description="policies to train of the best; the one best in validation is kept"
    )

    @model_validator(mode="after")
    def _can_be_judged(self) -> "SweepConfig":
        if not self.validation_fraction:
            raise ValueError(
                "validation_fraction: trials are judged on that part of the training span, give more than 0"
            )
        return self

    @model_validator(mode="after")
    def _possible_space(self) -> "SweepConfig":
        """Check each value, and that some combination of them can be trained with."""
        try:
            self._require_possible(self.axes)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    def _require_possible(self, space: Space) -> None:
        first: ConfigError | None = None
        for options, _ in zip(combinations(space), range(CHECKED_COMBINATIONS), strict=False):
            try:
                self.trial(options)
                break
            except ConfigError as error:
                first = first or error
        else:
            raise ConfigError(f"space: no combination of it can be trained with: {first}")
        if self.trials is None and self.is_grid and self.trials_of_each_size > MOST_COMBINATIONS:
            raise ConfigError(
                f"space: {self.trials_of_each_size:,} combinations of each size; say how many with trials"
            )

    @cached_property
    def axes(self) -> Space:
        """The space that is searched; ConfigError where it cannot be read."""
        return parse_space(self.space_texts)

    @property
    def space_texts(self) -> dict[str, str]:
        """The same as text, as it was given or by default."""
        if self.space:
            return dict(self.space)
        own = _OF_ALGORITHM[self.algorithm]
        if self.decision == "eviction":
            return {**_RATE, **_OF_EVICTIONS, **own}
        return {**_RATE, **own, **(_MORE_ENTROPY if "ent_coef" in own else {})}

    @property
    def sizes(self) -> list[Options]:
        """The sizes that are searched, each by itself."""
        return sizes_of(self.axes)

    @property
    def searched(self) -> Space:
        """The axes that are searched in each size."""
        return {name: axis for name, axis in self.axes.items() if name not in SIZES}

    @property
    def is_grid(self) -> bool:
        """Whether all combinations are tried."""
        return all(isinstance(axis, Choices) for axis in self.axes.values()) and (
            self.trials is None or self.trials >= self._combinations
        )

    @property
    def trials_of_each_size(self) -> int:
        """Trainings to try in each size."""
        return self._combinations if self.is_grid else self.trials or DEFAULT_TRIALS

    @property
    def _combinations(self) -> int:
        return math.prod(len(axis.values) for axis in self.searched.values() if isinstance(axis, Choices))

    def training(self, options: Options, **more: Any) -> TrainConfig:
        """Return a training with `options` in place of the sweep's own; ConfigError where they do not go together."""
        own = {name: getattr(self, name) for name in TrainConfig.model_fields}
        return parse(TrainConfig, {**own, **options, **more})

    def trial(self, options: Options) -> TrainConfig:
        """Return the training that a trial is: one seed, judged on a part that it learns nothing from."""
        return self.training(options, seeds=1, hold_back=True)
