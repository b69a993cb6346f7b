"""Whether the newest requests have drifted from those that a policy was made from: its features, or its hit ratio.

Two families of statistics, each tested by rank (`learning.evaluation.rank_tests`) with half of the chance of a false
alarm: how far the features of the newest window have moved, all of them together; and whether the policy hits less than
in windows that it was not trained on. When the chance holds: docs/decisions/0018.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from learning.bundle.compiled import compiled_policy
from learning.bundle.load import LoadedBundle
from learning.evaluation import rank_tests
from learning.promotion.problem import bundle_problem
from learning.run_policy import replay_policy
from schemas.options.monitor import LARGEST_WINDOW, SMALLEST_WINDOW, DriftConfig
from schemas.tables import microseconds
from schemas.trace import FloatArray
from tasks.drift.psi import Binned, binned
from tasks.drift.windows import Windows, psi_of_windows
from tasks.extract.read import Watermark
from tasks.extract.to_trace import to_trace

FEATURES, HIT_RATIO = "features", "hit ratio"
WAS_HIT = "was_hit"
RECORDED, REPLAYED = "recorded", "replayed"


@dataclass(frozen=True)
class Statistic:
    """One statistic of all windows.

    Attributes:
        name: of the feature, or `HIT_RATIO`.
        values: of the windows that are compared, the newest one last.
        between: of the windows between the reference and the newest one.
        p_value: of the newest window, for the whole family.
        threshold: where the family begins to stand out; None where nothing can.
    """

    name: str
    values: FloatArray
    between: FloatArray
    p_value: float
    threshold: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return what there is to say of the newest window, as JSON."""
        return {"value": float(self.values[-1]), "p_value": self.p_value, "threshold": self.threshold}


@dataclass(frozen=True)
class Family:
    """Statistics that were tested together.

    Attributes:
        name: `FEATURES` or `HIT_RATIO`.
        windows: which were compared.
        statistics: of them.
        rate: the chance of a false alarm.
        told_by: of hits, where those of the newest window are from: `RECORDED` or `REPLAYED`.
    """

    name: str
    windows: Windows
    statistics: tuple[Statistic, ...]
    rate: float
    told_by: str | None = None

    @property
    def drifted(self) -> tuple[str, ...]:
        """What stands out."""
        return tuple(one.name for one in self.statistics if one.p_value <= self.rate)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "window": self.windows.size,
            "reference_windows": len(self.windows.starts) - 1,
            "false_alarm_rate": self.rate,
            "statistics": {one.name: one.as_dict() for one in self.statistics},
            "drifted": list(self.drifted),
            **({"told_by": self.told_by} if self.told_by else {}),
        }


@dataclass(frozen=True)
class Drift:
    """What a check found.

    Attributes:
        against: which version's data it compared with; None = there is none.
        new_requests: those behind the watermark of that version.
        families: that were tested.
        untold: why the others could not be, by name.
        timestamp_us: of each request that was read.
    """

    against: str | None
    new_requests: int
    families: tuple[Family, ...]
    untold: dict[str, str]
    timestamp_us: Any = None

    @property
    def drifted(self) -> tuple[str, ...]:
        """What stands out: names of features, `HIT_RATIO`."""
        return tuple(name for family in self.families for name in family.drifted)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "against": self.against,
            "new_requests": self.new_requests,
            "drifted": bool(self.drifted),
            "drifted_in": list(self.drifted),
            "tested": {family.name: family.as_dict() for family in self.families},
            "untold": self.untold,
        }


def untold(against: str | None, new_requests: int, why: str) -> Drift:
    """Return that nothing can be told, and why."""
    return Drift(against, new_requests, (), {FEATURES: why, HIT_RATIO: why})


@dataclass(frozen=True)
class Reference:
    """What the newest requests are compared with.

    Attributes:
        title: of the version.
        bundle: of it.
        watermark: up to where the requests were read that it was made from.
        since: when it went into Production: the hits that were recorded later are its own.
    """

    title: str
    bundle: LoadedBundle
    watermark: Watermark
    since: datetime | None


def find_drift(rows: pd.DataFrame, reference: Reference, config: DriftConfig, seed: int, key_sample: float) -> Drift:
    """Compare the newest window of requests with windows of those that a version was made from.

    Args:
        rows: valid ones of `read_rows`, with the columns that the version needs, and `WAS_HIT` where it is known.
        reference: the version.
        config: how large the windows are, and how often the check may be wrong.
        seed: of the candidates that the policy draws.
        key_sample: share of the keys that the rows hold.

    Raises:
        ConfigError, BundleError, TraceError: see `learning.promotion.problem.bundle_problem`.
    """
    timestamp_us = rows["timestamp"].to_numpy(np.int64)
    read, training = _rows_until(rows, reference.watermark), _training(timestamp_us, reference.bundle)
    spans = {FEATURES: range(read), HIT_RATIO: range(training, read)}
    families, reasons = [], {}
    for name, span in spans.items():
        windows = cut(span, len(rows), config)
        if isinstance(windows, str):
            reasons[name] = windows
        elif name == FEATURES:
            profile = reference.bundle.metadata.data_profile
            assert profile is not None  # a version with a watermark has one
            families.append(features_family(dict(binned(profile, rows)), windows, config))
        else:
            hit = _hits(rows, reference.bundle, training, seed, key_sample)
            recorded = recorded_hit_ratio(rows.iloc[windows.starts[-1] :], reference.since)
            families.append(hits_family(hit, windows, config, recorded))
    return Drift(reference.title, len(rows) - read, tuple(families), reasons, timestamp_us)


def _rows_until(rows: pd.DataFrame, mark: Watermark) -> int:
    later = rows["timestamp"] > mark.timestamp_us
    return int((~(later | ((rows["timestamp"] == mark.timestamp_us) & (rows["id"] > mark.id)))).sum())


def _training(timestamp_us: Any, bundle: LoadedBundle) -> int:
    last_us = microseconds(bundle.metadata.data.training.last_timestamp)
    return int(np.searchsorted(timestamp_us, last_us, side="right"))


def cut(span: range, requests: int, config: DriftConfig) -> Windows | str:
    """Return windows of a span, and the newest of all requests; or why these cannot be told from those."""
    needed, new = rank_tests.windows_needed(config.false_alarm_rate / 2), requests - span.stop
    size = config.window or min(max(len(span) // needed, SMALLEST_WINDOW), LARGEST_WINDOW)
    if len(span) < needed * size:
        return (
            f"{len(span):,} requests to compare with are too few: a false_alarm_rate of {config.false_alarm_rate:g} "
            f"takes {needed:,} windows of {size:,}"
        )
    if new < size:
        return f"{new:,} new requests are too few: a window has {size:,}"
    return Windows.of(size, span, requests)


def features_family(features: dict[str, Binned], windows: Windows, config: DriftConfig) -> Family:
    """Return how far each feature has moved in the newest window."""
    found = {name: psi_of_windows(feature, windows) for name, feature in features.items()}
    rate = config.false_alarm_rate / 2
    tested = np.column_stack([drift.tested for drift in found.values()])  # (m + 1, features)
    scores = rank_tests.standardised(tested)
    thresholds = rank_tests.unstandardised(tested, rank_tests.critical_value(scores, rate))
    p_values = rank_tests.p_values(scores)
    statistics = (
        Statistic(name, drift.tested, drift.between, float(p_value), _finite(threshold))
        for (name, drift), p_value, threshold in zip(found.items(), p_values, thresholds, strict=True)
    )
    return Family(FEATURES, windows, tuple(statistics), rate)


def hits_family(hit: NDArray[np.bool_], windows: Windows, config: DriftConfig, recorded: float | None) -> Family:
    """Return whether the newest window has fewer hits.

    Args:
        hit: (n,), in a replay of all requests.
        windows: which to compare.
        config: how often the check may be wrong.
        recorded: hit ratio of the newest window in the live cache; None = as replayed.
    """
    ratios, between = ([float(hit[i : i + windows.size].mean()) for i in s] for s in (windows.starts, windows.between))
    if recorded is not None:
        ratios[-1] = recorded
    values, rate = np.array(ratios), config.false_alarm_rate / 2
    lower = -values[:, None]  # the lower, the more extreme
    threshold = _finite(-rank_tests.critical_value(lower, rate))
    statistic = Statistic(HIT_RATIO, values, np.array(between), float(rank_tests.p_values(lower)[0]), threshold)
    return Family(HIT_RATIO, windows, (statistic,), rate, REPLAYED if recorded is None else RECORDED)


def _hits(rows: pd.DataFrame, bundle: LoadedBundle, training: int, seed: int, key_sample: float) -> NDArray[np.bool_]:
    problem = bundle_problem(bundle.metadata, to_trace(rows), training, None, key_sample, weights={})
    return replay_policy(problem, compiled_policy(bundle), seed)


def recorded_hit_ratio(newest: pd.DataFrame, since: datetime | None) -> float | None:
    """Return the hit ratio of the live cache; None unless it is known of all requests, all served by this version."""
    if since is None or WAS_HIT not in newest or newest[WAS_HIT].isna().any():
        return None
    if int(newest["timestamp"].iloc[0]) < microseconds(since):
        return None
    return float(newest[WAS_HIT].astype(np.float64).mean())


def _finite(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
