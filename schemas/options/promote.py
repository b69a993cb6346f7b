"""The options of the flows and commands that decide what is in Production."""

from pydantic import Field, model_validator

from schemas.options.gate import GateConfig
from schemas.options.train import Decision, FlowConfig, ReadConfig


class PromoteConfig(GateConfig, ReadConfig):
    """Put a version into Production when it passes the gate: better than the champion on the newest requests."""

    decision: Decision = Field(default="eviction", description="of the registered model")
    version: str = Field(
        default="latest",
        pattern=r"^(latest|best|[1-9][0-9]{0,8})$",
        description="latest, best = that which exceeded its best baseline by the most, or a number",
    )
    warm_up: float | None = Field(
        default=None,
        ge=0,
        le=0.95,
        description="first share of the requests, not judged; unset = those up to the end of either policy's training",
    )
    force: bool = Field(
        default=False, description="whether to promote without the gate; the bundle is checked all the same"
    )
    reason: str | None = Field(default=None, min_length=1, description="why, for the history; force needs one")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the candidates that are drawn, and of the intervals")

    @model_validator(mode="after")
    def _reasoned(self) -> "PromoteConfig":
        if self.force and self.reason is None:
            raise ValueError("force: give the reason too, it is kept in the history")
        return self


class RollbackConfig(FlowConfig):
    """Put the previous Production version back."""

    decision: Decision = Field(default="eviction", description="of the registered model")
    reason: str = Field(default="rolled back", min_length=1, description="why, for the history")


class ReconcileConfig(FlowConfig):
    """Make rl_models and MLflow agree again after a crash or a change by hand, and say what was done."""


class HistoryConfig(FlowConfig):
    """Show who registered, promoted and rolled back what, when and why."""

    decision: Decision | None = Field(default=None, description="of the registered model; unset = all")
    version: int | None = Field(default=None, ge=1, description="of one version; unset = all")
    limit: int = Field(default=50, ge=1, le=100_000, description="newest events to show")
