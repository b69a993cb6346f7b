"""The options of the flows and commands that decide what is in Production."""

from pydantic import Field

from schemas.config import Decision, FlowConfig


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
