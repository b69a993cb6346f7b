"""What `metadata.json` and `golden.json` of an exported bundle hold."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

SCHEMA_VERSION: Literal[1] = 1
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BundlePart(BaseModel):
    """Base of the parts of a bundle's description: closed, frozen, and without NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Feature(BundlePart):
    """One input column of the policy, given raw: the transform is part of the exported network."""

    name: str = Field(min_length=1)
    unit: str = Field(description="of the raw value, e.g. requests, bytes, ms, 1")
    definition: str = Field(description="how the raw value is measured")
    transform: str = Field(description="what the network does to it first, for the reader")
    missing: str = Field(description="the raw value that says 'unknown', e.g. NaN; empty where it cannot be missing")
    column: str = Field(default="", description="of the table, that it is made of; empty for a built-in feature")
    category: str | None = Field(
        default=None, description="the text in `column` for which it is 1, else 0; null where the column is a number"
    )
    missing_value: float | None = Field(
        default=None, description="raw value in place of one that the request lacks; null where none can lack"
    )


class Candidates(BundlePart):
    """How many objects compete in one decision, the incoming one among them."""

    training: int = Field(ge=2)
    use: int = Field(ge=2)


class Capacity(BundlePart):
    """The size of the cache that the policy was trained for."""

    limit: int = Field(ge=1)
    unit: Literal["objects", "bytes"]
    objects: float = Field(
        ge=1, description="the limit in objects of the mean size: the unit of the counts' half-lives"
    )


class Span(BundlePart):
    """Requests in time order, first and last included."""

    requests: int = Field(ge=1)
    first_timestamp: AwareDatetime
    last_timestamp: AwareDatetime


class DataSummary(Span):
    """The recorded requests, and the part of them that was learned from."""

    fingerprint: Sha256
    distinct_keys: int = Field(ge=1)
    key_sample: float = Field(default=1.0, gt=0, le=1, description="share of the keys that was read, chosen by hash")
    training: Span


class PolicyDescription(BundlePart):
    """All that is known of a policy before its files are written."""

    decision: Literal["eviction"]
    algorithm: str
    features: tuple[Feature, ...] = Field(min_length=1, description="the columns of the input, in order")
    candidates: Candidates
    feature_columns: tuple[str, ...] = Field(default=(), description="columns of the table that features are made of")
    endpoints: tuple[str, ...] = Field(
        default=(), description="known in training, each with averages of its own, in the order of their codes"
    )
    action: str = Field(description="what the scores decide")
    capacity: Capacity
    history_keys: int = Field(ge=1, description="of how many keys, the most recently requested, the history is kept")
    objective: dict[str, float] = Field(description="COLUMN: weight of what a hit is worth; empty = every hit counts 1")
    data: DataSummary
    seeds: dict[str, int]
    hyperparameters: dict[str, JsonValue]
    versions: dict[str, str] = Field(description="LIBRARY: version that it was trained and exported with")
    evaluation: dict[str, JsonValue]
    created_at: AwareDatetime

    @property
    def missing_values(self) -> tuple[float, ...]:
        """What stands in for an unknown load time, then for missing values of the columns, as a live cache takes it."""
        return tuple(feature.missing_value for feature in self.features if feature.missing_value is not None)


class BundleMetadata(PolicyDescription):
    """`metadata.json`: the description, and the sha256 of every other file of the bundle."""

    schema_version: Literal[1] = SCHEMA_VERSION
    files: dict[str, Sha256]


class GoldenRows(BundlePart):
    """`golden.json`: states that a loaded policy must answer as recorded.

    Attributes:
        tolerance: largest difference of a score that another runtime may make.
        inputs: [state][candidate][feature], raw; None = NaN.
        scores: [state][candidate].
        decisions: [state], the candidate with the highest score, the first of equals.
    """

    tolerance: float = Field(gt=0)
    inputs: list[list[list[float | None]]] = Field(min_length=1)
    scores: list[list[float]]
    decisions: list[int]
