"""What `metadata.json` and `golden.json` of an exported bundle hold."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

SCHEMA_VERSION: Literal[2] = 2
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

    @property
    def unknown_value(self) -> float | None:
        """The raw value to give where the value is unknown, NaN among them; None where it cannot be."""
        if self.missing_value is not None:
            return self.missing_value
        return float(self.missing) if self.missing else None


class Candidates(BundlePart):
    """How many objects compete in one decision, the incoming one among them."""

    training: int = Field(ge=2)
    use: int = Field(ge=2)


class MissActions(BundlePart):
    """What each score of a decision on a miss stands for."""

    eviction: str = Field(description="the policy that makes room")
    lifetimes_s: tuple[float | None, ...] = Field(
        min_length=2, description="what each action lets the copy live; 0 = not stored, null = until it is evicted"
    )
    staleness_weight: float = Field(ge=0, description="what a stale hit costs, in what a fresh one is worth")


class EndpointLifetimes(BundlePart):
    """Times to live that keep each endpoint inside a staleness budget, for use beside the learned eviction."""

    staleness_budget: float = Field(ge=0, le=1, description="share of an endpoint's hits that may be stale")
    lifetimes_s: dict[str, float | None] = Field(
        description="by endpoint, from the training span; 0 = not stored, null = until it is evicted"
    )


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


class NumberProfile(BundlePart):
    """How the values of a number were distributed."""

    edges: tuple[float, ...] = Field(description="upper edges of the bins, rising; the last bin has none")
    shares: tuple[float, ...] = Field(description="of the requests in each bin, then of those without a value")


class TextProfile(BundlePart):
    """How the values of a text were distributed."""

    values: tuple[str, ...] = Field(description="the most frequent ones, from the first on")
    shares: tuple[float, ...] = Field(description="of the requests with each, with another, and without one")


class DataProfile(BundlePart):
    """How the features of the training requests were distributed, for later data to be compared with."""

    requests: int = Field(ge=1)
    numbers: dict[str, NumberProfile]
    texts: dict[str, TextProfile]


class PolicyDescription(BundlePart):
    """All that is known of a policy before its files are written."""

    decision: Literal["eviction", "admission", "ttl"]
    algorithm: str
    features: tuple[Feature, ...] = Field(min_length=1, description="the columns of the input, in order")
    candidates: Candidates | None = Field(description="of an eviction; null where a miss is decided")
    actions: MissActions | None = Field(default=None, description="of a decision on a miss; null of an eviction")
    endpoint_lifetimes: EndpointLifetimes | None = None
    feature_columns: tuple[str, ...] = Field(default=(), description="columns of the table that features are made of")
    endpoints: tuple[str, ...] = Field(
        default=(), description="known in training, each with averages of its own, in the order of their codes"
    )
    action: str = Field(description="what the scores decide")
    capacity: Capacity
    history_keys: int = Field(ge=1, description="of how many keys, the most recently requested, the history is kept")
    objective: dict[str, float] = Field(description="COLUMN: weight of what a hit is worth; empty = every hit counts 1")
    data: DataSummary
    data_profile: DataProfile | None = Field(
        default=None, description="of the training requests; null where none was made"
    )
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
    """`metadata.json`: the description, the sha256 of every other file of the bundle, and that of its own content.

    Attributes:
        schema_version: 1 had no `sha256`.
        files: NAME: sha256 of its bytes.
        sha256: of all other fields as canonical JSON, see `learning.bundle.strict_json`; names the
            contents of the bundle.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    files: dict[str, Sha256]
    sha256: Sha256


class GoldenRows(BundlePart):
    """`golden.json`: states that a loaded policy must answer as recorded.

    Attributes:
        tolerance: largest difference of a score that another runtime may make.
        inputs: [state][candidate][feature], raw; None = NaN. Of a decision on a miss there is one row a state.
        scores: [state][candidate], or [state][action] of a decision on a miss.
        decisions: [state], the candidate, or the action, with the highest score, the first of equals.
    """

    tolerance: float = Field(gt=0)
    inputs: list[list[list[float | None]]] = Field(min_length=1)
    scores: list[list[float]]
    decisions: list[int]
