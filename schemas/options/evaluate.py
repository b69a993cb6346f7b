"""The options of what is done with finished policies: judging them on other requests, and copying them elsewhere."""

from pydantic import Field, model_validator

from schemas.options.gate import MIN_JUDGED
from schemas.options.train import Decision, FlowConfig, ReadConfig, require_one_capacity

CHAMPION = "champion"


class PolicyChoice(FlowConfig):
    """Which policy: a registered version, or a bundle."""

    decision: Decision | None = Field(default=None, description="what the registered policy decides; unset = eviction")
    version: str | None = Field(
        default=None,
        pattern=r"^(champion|latest|best|[1-9][0-9]{0,8})$",
        description="of the registered policy: champion = the one in Production, latest, best or a number; "
        "unset = champion",
    )
    bundle: str | None = Field(
        default=None, min_length=1, description="folder of a bundle, in place of a registered version"
    )

    @model_validator(mode="after")
    def _one_policy(self) -> "PolicyChoice":
        if self.bundle is not None and (self.version is not None or self.decision is not None):
            raise ValueError("give bundle, or version and decision of a registered policy, not both")
        return self


class EvaluateConfig(PolicyChoice, ReadConfig):
    """Judge a finished policy on other requests, or at another size."""

    cache_size: int | None = Field(default=None, ge=1, description="capacity in objects; unset = as in training")
    cache_bytes: int | None = Field(default=None, ge=1, description="capacity in bytes")
    cache_fraction: float | None = Field(
        default=None, gt=0, lt=1, description="capacity as a share of the distinct keys of all requests that are read"
    )
    warm_up: float | None = Field(
        default=None,
        ge=0,
        le=0.95,
        description="first share of the requests, not judged; unset = those up to the end of the policy's training",
    )
    min_judged: int = Field(default=MIN_JUDGED, ge=1, description="requests that must be left to judge")
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the candidates that are drawn, and of the intervals")

    @model_validator(mode="after")
    def _one_capacity(self) -> "EvaluateConfig":
        require_one_capacity(self)
        return self


class ExportConfig(PolicyChoice):
    """Copy the bundle of a policy to a folder, checked and whole."""

    into: str = Field(min_length=1, description="new folder, inside the folder ERS_EXPORTS and relative to it")


class JudgedReadConfig(ReadConfig):
    """Which requests are read for policies to be judged on.

    Attributes:
        columns: whose values most requests must have.
    """

    columns: tuple[str, ...] = ()

    @property
    def needed_columns(self) -> tuple[str, ...]:
        """Columns whose values most requests must have."""
        return self.columns
