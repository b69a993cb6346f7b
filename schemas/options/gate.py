"""What a policy must show before it goes into Production."""

from typing import Literal, get_args

from pydantic import Field

from schemas.options.train import FlowConfig

GuardMetric = Literal["hit_ratio", "byte_hit_ratio", "saved_load_time_ratio", "stale_ratio"]
LOWER_IS_BETTER: tuple[GuardMetric, ...] = ("stale_ratio",)
MIN_JUDGED = 1_000


class GateConfig(FlowConfig):
    """What the challenger must show on the same requests as the champion."""

    min_improvement: float = Field(
        default=0.0,
        ge=-1,
        le=1,
        description="by how much its value ratio must exceed the champion's; this much is not enough, it takes more",
    )
    by_interval: bool = Field(
        default=True, description="whether the low end of the 95 % interval must show it; false = the difference itself"
    )
    guard_metrics: tuple[GuardMetric, ...] = Field(
        default=get_args(GuardMetric),
        description="measures that must not be worse than the champion's, the stale ratio not higher",
    )
    max_loss: float = Field(default=0.01, ge=0, le=1, description="how much worse a guard metric may be all the same")
    max_policy_bytes: int = Field(default=1_000_000, ge=1, description="largest size of policy.pt")
    max_latency_us: float = Field(
        default=2_000.0,
        gt=0,
        allow_inf_nan=False,
        description="what at most 1 % of the decisions may exceed, in microseconds: TorchScript, one processor",
    )
    min_judged: int = Field(default=MIN_JUDGED, ge=1, description="requests that must judge at least")
