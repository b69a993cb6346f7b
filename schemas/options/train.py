"""The options of each flow: typed, frozen and closed. The command line, Prefect and the docs all read these."""

from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import ConfigError
from schemas.names import nearest as nearest  # also offered from here

Decision = Literal["eviction", "admission", "ttl"]
Algorithm = Literal["dqn", "ppo", "a2c"]
REQUESTS_TABLE = "cache_metrics"
Format = Literal["parquet", "csv", "jsonl", "access_log", "nginx", "oracle_general", "libcachesim_csv"]
KeyRule = Literal["lower-host", "sort-query", "drop-fragment", "drop-volatile", "template-ids"]
KEY_RULES: tuple[KeyRule, ...] = get_args(KeyRule)
SAFE_RULES: tuple[KeyRule, ...] = ("lower-host", "sort-query", "drop-fragment")  # merge no different answers
SMALLEST_TEST_FRACTION = 0.05
AUTO = "auto"  # stands for all columns that can be learned from
FEATURES_HELP = (
    "columns of the table to learn from as well: numbers, booleans or short texts; auto = all that can be learned from"
)
DRAWN_POLICIES = ("lru", "lfu", "s3-fifo", "2q", "arc", "lirs", "w-tinylfu", "belady")
OWN_OPTIONS: dict[Algorithm, tuple[str, ...]] = {  # of each learning algorithm, beside those that all have
    "dqn": ("gradient_steps", "buffer_size", "exploration_fraction", "exploration_final_eps"),
    "ppo": ("n_steps", "n_epochs", "ent_coef", "clip_range"),
    "a2c": ("n_steps", "ent_coef"),
}
DECISION_OPTIONS: dict[Decision, tuple[str, ...]] = {  # of each decision, beside those that all have
    "eviction": ("staleness_budget", "candidates", "horizon"),
    "admission": ("eviction",),
    "ttl": ("eviction", "ttl_ladder_s", "staleness_weight"),
}
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Config = TypeVar("Config", bound="FlowConfig")


class FlowConfig(BaseModel):
    """Base of the options of a flow."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceConfig(FlowConfig):
    """Which file is read, and how its rows become requests."""

    source: str | None = Field(default=None, description="file to read")
    map: dict[str, str] = Field(default={}, description="where names differ, COLUMN=NAME_IN_FILE, e.g. key=url")
    format: Format | None = Field(default=None, description="of the file, see docs/sources.md; unset = by its content")
    key_rules: tuple[Literal["safe", "none", KeyRule], ...] = Field(
        default=("safe",),
        description="how keys that are requests are normalised: safe = lower-host, sort-query and drop-fragment; "
        "drop-volatile, template-ids; none",
    )
    drop_parameters: tuple[str, ...] = Field(
        default=(), description="parameters of the query to drop from keys; * stands for any characters"
    )
    keep_parameters: tuple[str, ...] = Field(
        default=(), description="parameters of the query that nothing drops; * stands for any characters"
    )

    @model_validator(mode="after")
    def _consistent_rules(self) -> "SourceConfig":
        if "none" in self.key_rules and set(self.key_rules) != {"none"}:
            raise ValueError(f"key_rules: none stands alone, got {', '.join(self.key_rules)}")
        both = sorted(set(self.drop_parameters) & set(self.keep_parameters))
        if both:
            raise ValueError(f"drop_parameters and keep_parameters both name {', '.join(both)}")
        return self

    @property
    def rules(self) -> frozenset[KeyRule]:
        """The rules that `key_rules` stands for."""
        named = (*self.key_rules, *SAFE_RULES) if "safe" in self.key_rules else self.key_rules
        return frozenset(rule for rule in KEY_RULES if rule in named)

    def to_ingest(self) -> "IngestConfig":
        """Return the options of recording this source."""
        return IngestConfig(**{name: getattr(self, name) for name in SourceConfig.model_fields})


class IngestConfig(SourceConfig):
    """Read a file of requests into `cache_metrics`."""

    source: str = Field(
        description="file to read: Parquet, CSV, JSON lines, an access log or a libCacheSim trace; .gz and .zst too"
    )


class PreviewConfig(IngestConfig):
    """Show what a file of requests would become, and write nothing."""

    rows: int = Field(default=10_000, ge=1, le=1_000_000, description="first rows of the file to look at")


class TableConfig(FlowConfig):
    """Which table a flow reads, which of its keys, and how many rows may be invalid."""

    table: str = Field(
        default=REQUESTS_TABLE,
        description="table or view to read, with the columns id, timestamp, cache_name, cache_key",
    )
    key_sample: float = Field(
        default=1.0, gt=0, le=1, description="share of the keys to read, chosen by hash; the capacity is scaled alike"
    )
    max_invalid_share: float = Field(
        default=0.01, ge=0, le=1, description="share of the rows that may be invalid, left out and quarantined"
    )

    @property
    def needed_columns(self) -> tuple[str, ...]:
        """Columns whose values most requests must have."""
        return ()


class ReadConfig(TableConfig, SourceConfig):
    """Which requests a flow reads."""

    source: str | None = Field(
        default=None,
        description="file to ingest and to read; 'none' = only what the table holds; "
        "unset = the table, or simulated traffic when it is empty",
    )
    max_queries: int | None = Field(default=None, ge=1, description="rows to read, the newest ones; unset = all")
    since: datetime | None = Field(default=None, description="first moment to read, ISO 8601; UTC unless it says else")
    until: datetime | None = Field(default=None, description="moment to stop reading before, ISO 8601")
    after: str | None = Field(
        default=None,
        description="read only rows behind this watermark, TIMESTAMP_US:ID, of an earlier result (data.watermark)",
    )


class CurveConfig(ReadConfig):
    """Draw how the miss ratio of each policy falls with the size of the cache."""

    policies: tuple[str, ...] = Field(
        default=DRAWN_POLICIES, min_length=1, description="policies to compare, see docs/policies.md"
    )
    unit: Literal["objects", "bytes"] = Field(default="objects", description="what the capacity counts")
    measure: Literal["requests", "bytes", "load_time"] = Field(
        default="requests", description="what a miss costs: one request, its bytes, or its load time"
    )
    points: int = Field(default=16, ge=2, le=200, description="capacities, from 0.1 % of all objects or bytes to all")
    warm_up: float = Field(default=0.0, ge=0, le=0.95, description="first share of the requests, not judged")
    ttl_s: float | None = Field(
        default=None,
        gt=0,
        description="time to live of a copy in seconds; unset = for ever, with the policies of that name 300",
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="of the policies that draw at random")

    @property
    def needed_columns(self) -> tuple[str, ...]:
        """Columns whose values most requests must have: what the capacity counts and what a miss costs."""
        by_size = ("size_bytes",) if "bytes" in (self.unit, self.measure) else ()
        return (*by_size, "load_time_ms") if self.measure == "load_time" else by_size


class ValidateConfig(ReadConfig):
    """Check whether recorded requests can be trained on, and whether they have changed since the last training."""

    decision: Decision = Field(default="eviction", description="compare with the data of the model for this decision")
    feature_columns: tuple[str, ...] = Field(default=(), description=FEATURES_HELP)


class ColumnsConfig(FlowConfig):
    """List the columns of a table: type, missing values, range, and which can be learned from."""

    table: str = Field(default="cache_metrics", description="name of the table")


class TrainingConfig(FlowConfig):
    """What is learned, for which cache, and how."""

    algorithm: Algorithm = Field(default="dqn", description="dqn, ppo or a2c")
    decision: Decision = Field(
        default="eviction",
        description="what is learned: eviction = which object leaves, admission = whether what was fetched enters, "
        "ttl = for how long it is served",
    )
    eviction: str | None = Field(default=None, description="admission, ttl: the policy that makes room; unset = lru")
    ttl_ladder_s: tuple[Seconds, ...] | None = Field(
        default=None,
        min_length=1,
        description="ttl: times to live in seconds to choose from, rising; 0 = not stored, and for ever, are added; "
        "unset = thirteen from 10 s to a day",
    )
    staleness_weight: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="ttl: what a stale hit costs, in what a fresh one is worth: 1 = it is worth nothing; unset = 1",
    )
    staleness_budget: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="eviction: the share of an endpoint's hits that may be stale; the policy is then judged with times "
        "to live that keep to it as well, as hybrid",
    )
    cache_size: int | None = Field(default=None, ge=1, description="capacity in objects")
    cache_bytes: int | None = Field(default=None, ge=1, description="capacity in bytes")
    cache_fraction: float | None = Field(
        default=None, gt=0, lt=1, description="capacity as a share of the distinct keys; 0.01 when no capacity is given"
    )
    timesteps: int = Field(default=300_000, ge=1, description="decisions to learn from")
    test_fraction: float = Field(
        default=0.4, ge=SMALLEST_TEST_FRACTION, le=0.95, description="last share of the requests, held out"
    )
    feature_columns: tuple[str, ...] = Field(default=(), description=FEATURES_HELP)
    cache_weights: dict[str, float] = Field(
        default={}, description="what a hit is worth: COLUMN=WEIGHT, e.g. load_time_ms=1; unset = every hit counts 1"
    )
    history_multiple: int = Field(
        default=8, ge=1, description="keys whose requests are remembered beside the residents, in capacities"
    )
    candidates: int | None = Field(
        default=None,
        ge=2,
        le=64,
        description="eviction: objects to choose from in a decision to learn from (K); unset = 16",
    )
    horizon: float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="eviction: distance to the next request at which keeping an object is worth half (tau), in mean "
        "ages at eviction under LRU; unset = 0.03",
    )
    validation_fraction: float = Field(
        default=0.15, ge=0, le=0.5, description="last share of the training requests, to pick the weights by; 0 = none"
    )
    hold_back: bool = Field(
        default=False, description="whether to learn nothing from those: true = validation on unseen decisions"
    )
    patience: int = Field(
        default=3, ge=0, description="validations without improvement that end the training, of 6 in it; 0 = none do"
    )
    batch_size: int | None = Field(
        default=None, ge=2, description="transitions a gradient step; unset = the algorithm's"
    )
    learning_rate: float | None = Field(
        default=None, gt=0, lt=1, description="first step size; unset = the algorithm's"
    )
    n_steps: int | None = Field(
        default=None, ge=1, le=10_000, description="ppo, a2c: decisions of each of 64 caches a rollout; unset = theirs"
    )
    n_epochs: int | None = Field(
        default=None, ge=1, le=100, description="ppo: gradient passes over a rollout; unset = its own"
    )
    ent_coef: float | None = Field(
        default=None, ge=0, le=1, description="ppo, a2c: weight of the entropy in the loss; unset = theirs"
    )
    clip_range: float | None = Field(
        default=None, gt=0, lt=1, description="ppo: how far one update may change a probability; unset = its own"
    )
    gradient_steps: int | None = Field(
        default=None, ge=1, le=1_000, description="dqn: gradient steps for each 64 decisions; unset = its own"
    )
    buffer_size: int | None = Field(
        default=None, ge=64, le=100_000_000, description="dqn: decisions remembered to learn from; unset = its own"
    )
    exploration_fraction: float | None = Field(
        default=None, gt=0, le=1, description="dqn: share of the training in which random actions fade; unset = its own"
    )
    exploration_final_eps: float | None = Field(
        default=None, ge=0, le=1, description="dqn: share of random actions after that; unset = its own"
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="the same seed and data give the same policy")
    seeds: int = Field(
        default=1, ge=1, le=100, description="policies to train, from seed on; the one best in validation is kept"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="cpu", description="where the network learns")

    @model_validator(mode="after")
    def _one_capacity(self) -> "TrainingConfig":
        require_one_capacity(self)
        return self

    @model_validator(mode="after")
    def _options_of_the_algorithm(self) -> "TrainingConfig":
        own = ("learning_rate", "batch_size", *OWN_OPTIONS[self.algorithm])
        self._refuse_others(self.algorithm, own, OWN_OPTIONS.values())
        if self.algorithm == "a2c" and self.batch_size is not None and self.n_steps is not None:
            raise ValueError("with a2c the batch is the rollout: give batch_size or n_steps, not both")
        return self

    @model_validator(mode="after")
    def _options_of_the_decision(self) -> "TrainingConfig":
        own = DECISION_OPTIONS[self.decision]
        self._refuse_others(f"decision {self.decision}", own, DECISION_OPTIONS.values())
        ladder_s = self.ttl_ladder_s or ()
        if any(later <= earlier for earlier, later in pairwise(ladder_s)):
            raise ValueError(f"ttl_ladder_s: the times to live must rise, got {', '.join(f'{s:g}' for s in ladder_s)}")
        return self

    def _refuse_others(self, owner: str, own: tuple[str, ...], all_options: Iterable[tuple[str, ...]]) -> None:
        """Raise ValueError when an option is given that is not among `own`."""
        others = {name for names in all_options for name in names}.difference(own)
        given = sorted(name for name in others if getattr(self, name) is not None)
        if given:
            raise ValueError(f"{' and '.join(given)}: not an option of {owner}, whose own are {', '.join(own)}")


class TrainConfig(TrainingConfig, ReadConfig):
    """Learn what a cache should keep, judge it on later requests, export it and register it."""

    challenger: bool = Field(
        default=False, description="whether the next retrain is to judge this policy, and to promote it when it passes"
    )

    @property
    def needed_columns(self) -> tuple[str, ...]:
        """Columns whose values most requests must have: what weighs hits, and sizes with a capacity in bytes."""
        return needed_for(self.cache_weights, in_bytes=self.cache_bytes is not None)

    def training_requests(self, requests: int) -> int:
        """Return how many of so many requests, the earliest ones, are learned from."""
        return int((1 - self.test_fraction) * requests)


def require_one_capacity(config: FlowConfig) -> None:
    """Raise ValueError when more than one of the options that say the capacity is given."""
    given = [n for n in ("cache_size", "cache_bytes", "cache_fraction") if getattr(config, n) is not None]
    if len(given) > 1:
        raise ValueError(f"give one capacity, not {' and '.join(given)}")


def needed_for(cache_weights: dict[str, float], *, in_bytes: bool) -> tuple[str, ...]:
    """Return the columns whose values most requests must have: what weighs hits, and sizes with a capacity in bytes."""
    weighed = [name for name in ("size_bytes", "load_time_ms") if cache_weights.get(name)]
    return tuple(dict.fromkeys((*(("size_bytes",) if in_bytes else ()), *weighed)))


def parse(config: type[Config], options: dict[str, Any]) -> Config:
    """Return `options` as a `config`.

    Raises:
        ConfigError: one line that names each wrong option, what it got and what it takes.
    """
    try:
        return config(**options)
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(config, dict(e)) for e in error.errors())) from None


def _sentence(config: type[FlowConfig], error: dict[str, object]) -> str:
    location = error["loc"]
    name = ".".join(str(part) for part in location) if isinstance(location, tuple) else ""
    if error["type"] == "extra_forbidden":
        return f"unknown option {name}{nearest(name, list(config.model_fields))}"
    if error["type"] == "missing":
        return f"{name}: required"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{name}: {message}, got {error['input']!r}" if name else message
