"""The options of the flows that watch over a policy in use: `monitor` and `retrain`."""

from pydantic import Field, model_validator

from schemas.expectations import MIN_REQUESTS
from schemas.options.gate import GateConfig
from schemas.options.train import SMALLEST_TEST_FRACTION, Decision, FlowConfig, TableConfig, TrainingConfig

SMALLEST_WINDOW, LARGEST_WINDOW = 100, 10_000  # requests, where nobody says


class DriftConfig(FlowConfig):
    """When the newest requests count as drifted."""

    false_alarm_rate: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="chance that a check says drift where nothing has changed; half of it is for the features, half "
        "for the hit ratio",
    )
    window: int | None = Field(
        default=None,
        ge=SMALLEST_WINDOW,
        description="newest requests to look at, compared with windows of as many; unset = as many as leave enough "
        f"windows for false_alarm_rate, {SMALLEST_WINDOW} to {LARGEST_WINDOW:,}",
    )


class MonitorConfig(DriftConfig, TableConfig):
    """Tell whether the features or the hit ratio have drifted from the data that the champion was made from."""

    decision: Decision = Field(default="eviction", description="of the registered model")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the candidates that the champion draws")


class RetrainConfig(GateConfig, DriftConfig, TrainingConfig, TableConfig):
    """Train when there are enough new requests and a reason to, and promote when the gate lets the policy pass."""

    test_fraction: float = Field(
        default=0.4,
        ge=SMALLEST_TEST_FRACTION,
        le=0.95,
        description="last share of the new requests, held out for the champion and the new policy to be judged on",
    )
    cache_fraction: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="capacity as a share of the distinct keys; without any capacity it is the champion's, else 0.01",
    )
    min_new_requests: int = Field(
        default=10_000,
        ge=MIN_REQUESTS,
        description="requests since the newest version was trained, below which nothing is trained",
    )
    max_queries: int | None = Field(
        default=None,
        ge=MIN_REQUESTS,
        description="newest requests to train on at most; fewer where the new ones would be lost among them, see "
        "docs/retraining.md; unset = as many as that allows",
    )
    max_age_days: float | None = Field(
        default=None, gt=0, description="age of the champion in days that is a reason to train; unset = none is"
    )
    always: bool = Field(
        default=False, description="whether to train whenever there are enough new requests, without another reason"
    )

    @model_validator(mode="after")
    def _enough_to_judge(self) -> "RetrainConfig":
        new = min(self.min_new_requests, self.max_queries or self.min_new_requests)
        if new * self.test_fraction < self.min_judged:
            raise ValueError(
                f"{new:,} new requests x test_fraction {self.test_fraction:g} are fewer than min_judged "
                f"{self.min_judged:,}, so that the gate would let nothing pass: raise min_new_requests or max_queries"
            )
        return self
