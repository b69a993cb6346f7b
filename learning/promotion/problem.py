"""The cache problem of a finished bundle on other requests: what its training fitted stays as the bundle has it.

From the bundle come the texts that are 0 or 1, the numbers in place of missing values, the endpoints that have averages
of their own (all others share one more pair), the mean size of an object, and the terms of the decision. From the
requests before the judged ones come only the means that the weights of the objective refer to, so that a weight still
says how much of an average hit's worth a column makes up (a bundle does not record them all); and the mean size, for a
capacity in bytes of a bundle that counts objects. The judged requests give nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cachesim.analysis.key_sample import scaled
from cachesim.capacity import Capacity
from cachesim.eviction.caches import remembered_keys, stream_of
from cachesim.features.categories import Indicator
from cachesim.features.history import Fitted
from cachesim.features.table import Float32Array
from cachesim.miss.problem import Setting, admission_setting, ttl_setting
from cachesim.objective import Objective, fit_objective
from learning.bundle.compiled import bundle_columns, bundle_features
from learning.problem import CacheProblem, judged_values
from schemas.bundle import BundleMetadata
from schemas.errors import BundleError, ConfigError, TraceError
from schemas.trace import Trace

OTHERS = ""  # stands for the endpoints that training did not know


@dataclass(frozen=True)
class JudgedSpan:
    """Which requests judge; those before them only fill the cache.

    Attributes:
        start: position of the first one.
        requests: how many there are.
        first_timestamp: of the first one.
        later: whether all of them are later than the training of every policy that is judged.
    """

    start: int
    requests: int
    first_timestamp: datetime
    later: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        first = self.first_timestamp.isoformat()
        return {"requests": self.requests, "first_timestamp": first, "later_than_training": self.later}


def judged_span(
    trace: Trace, bundles: Sequence[BundleMetadata], min_judged: int, warm_up: float | None = None
) -> JudgedSpan:
    """Return the requests that are later than the training of all bundles.

    Args:
        trace: n requests.
        bundles: the policies that are to be judged.
        min_judged: how many requests it takes, >= 1.
        warm_up: the first share of the requests that is not judged, in [0, 1): for data whose times do not follow those
            of the training; None = judge what is later.

    Raises:
        TraceError: there are fewer.
    """
    trained_s = max(bundle.data.training.last_timestamp.timestamp() for bundle in bundles)
    later = int(np.searchsorted(trace.timestamp_s, trained_s, side="right"))
    start = later if warm_up is None else int(warm_up * len(trace))
    requests = len(trace) - start
    if requests < max(min_judged, 1):
        what, remedy = f"are left behind a warm_up of {warm_up}", "lower it, or record more"
        if warm_up is None:
            until = datetime.fromtimestamp(trained_s, UTC).isoformat()
            what, remedy = f"are later than the training, which ends at {until}", "record newer ones, or give warm_up"
        raise TraceError(
            f"{requests:,} of {len(trace):,} requests {what}: at least {min_judged:,} are needed to judge; {remedy}"
        )
    first = datetime.fromtimestamp(float(trace.timestamp_s[start]), UTC)
    return JudgedSpan(start, requests, first, start >= later)


def bundle_problem(
    metadata: BundleMetadata,
    trace: Trace,
    judged_from: int,
    capacity: Capacity | None = None,
    key_sample: float = 1.0,
    weights: dict[str, float] | None = None,
) -> CacheProblem:
    """Return the problem on which `learning.evaluation.evaluate.evaluate` judges the policy of a bundle.

    Args:
        metadata: of the bundle.
        trace: n requests in time order; columns that the bundle does not know are left out.
        judged_from: position of the first request to judge, in [0, n); those before it only fill the cache.
        capacity: of the cache that is served, all keys considered; None = as in training. Half-lives, and of how many
            keys the history is kept, follow it as they would have in training.
        key_sample: the share of the keys that the trace holds, in (0, 1]: the capacity is scaled alike.
        weights: of columns that the bundle knows, what a hit is worth; None = as in training.

    Raises:
        TraceError: the requests lack columns, or versions, that the bundle needs.
        ConfigError: nothing before the judged requests tells what is needed, see the head of this module.
        BundleError: the bundle's features or sizes are not those of this program.
        GateError: no hit on the judged requests is worth anything.
    """
    bundle_features(metadata)
    served = capacity or Capacity(metadata.capacity.limit, metadata.capacity.unit)
    replayed, trace = scaled(served, key_sample), encode_as(metadata, trace)
    objective = _objective(trace, judged_from, metadata.objective if weights is None else weights)
    objects = _objects(metadata, replayed, trace[:judged_from])
    fitted = Fitted(objects, np.array(metadata.missing_values, np.float32))
    memory = _history_multiple(metadata)
    problem = CacheProblem(
        trace=trace,
        training=judged_from,
        capacity=replayed,
        served_capacity=served,
        objective=objective,
        values=judged_values(trace, objective, judged_from),
        fitted=fitted,
        stream=stream_of(trace, replayed, fitted, memory, key_sample),
        history_multiple=memory,
        indicators=bundle_columns(metadata)[1],
    )
    return problem if metadata.actions is None else replace(problem, setting=_setting(problem, metadata, key_sample))


def encode_as(metadata: BundleMetadata, trace: Trace) -> Trace:
    """Return the trace as the policy of a bundle sees it: with its columns alone, in order, and its endpoints' codes.

    Raises:
        TraceError: the trace lacks columns, or one of them holds text instead of numbers, or the other way round.
    """
    names, indicators = bundle_columns(metadata)
    _require_columns(trace, names, tuple(dict.fromkeys(indicator.column for indicator in indicators)))
    numbers = (trace.columns[:, trace.column_names.index(name)] for name in names)
    columns = [*numbers, *(_is_category(trace, indicator) for indicator in indicators)]
    code = {name: i for i, name in reversed([*enumerate(metadata.endpoints)])}
    codes = np.array([code.get(name, len(metadata.endpoints)) for name in trace.endpoint_names], np.int32)
    return replace(
        trace,
        endpoint=codes[trace.endpoint],
        endpoint_names=(*metadata.endpoints, OTHERS),
        columns=np.column_stack(columns) if columns else np.empty((len(trace), 0), np.float32),
        column_names=(*names, *(indicator.name for indicator in indicators)),
        text_names=(),
        text_values=(),
    )


def _require_columns(trace: Trace, numbers: tuple[str, ...], texts: tuple[str, ...]) -> None:
    known = {*trace.column_names, *trace.text_names}
    if missing := [name for name in (*numbers, *texts) if name not in known]:
        raise TraceError(
            f"the requests lack {', '.join(missing)}, which the policy was trained on: add the columns to the table"
        )
    for kind, wanted, found in (("numbers", numbers, trace.column_names), ("text", texts, trace.text_names)):
        if other := [name for name in wanted if name not in found]:
            raise TraceError(
                f"the policy was trained on {', '.join(other)} as {kind}, and the requests hold it otherwise"
            )


def _is_category(trace: Trace, indicator: Indicator) -> Float32Array:
    at = trace.text_names.index(indicator.column)
    values = trace.text_values[at]
    code = values.index(indicator.value) if indicator.value in values else None
    same: NDArray[np.bool_] = np.zeros(len(trace), np.bool_) if code is None else trace.texts[:, at] == code
    return same.astype(np.float32)


def _objective(trace: Trace, judged_from: int, weights: dict[str, float]) -> Objective:
    if weights and not judged_from:
        raise ConfigError(
            f"the policy weighs hits by {', '.join(weights)}, relative to the mean of the requests before those that "
            "are judged, and there are none: read earlier ones too, or give warm_up"
        )
    return fit_objective(trace, judged_from, weights)


def _objects(metadata: BundleMetadata, capacity: Capacity, earlier: Trace) -> float:
    """Return how many objects of the mean size in training the capacity holds."""
    trained = metadata.capacity
    if capacity.unit == trained.unit == "bytes":
        return max(1.0, trained.objects * (capacity.limit / trained.limit))
    if capacity.unit == "bytes" and not len(earlier):
        raise ConfigError(
            "the policy was trained with a capacity in objects; what one in bytes comes to is told by the requests "
            "before those that are judged, and there are none: give cache_size, or read earlier ones too"
        )
    return capacity.mean_objects(earlier)


def _history_multiple(metadata: BundleMetadata) -> int:
    """Return how many capacities of keys, beside the residents, the history holds that remembers `history_keys`."""
    objects, keys = metadata.capacity.objects, metadata.history_keys
    near = round(keys / objects) - 1
    for multiple in (near - 1, near, near + 1):
        if multiple >= 1 and remembered_keys(objects, multiple) == keys:
            return multiple
    raise BundleError(f"the bundle's history of {keys} keys is no whole multiple of its {objects:g} objects")


def _setting(problem: CacheProblem, metadata: BundleMetadata, key_sample: float) -> Setting:
    """Return the decision on misses, with the terms that the bundle was trained for."""
    terms = metadata.actions
    assert terms is not None
    place = problem.trace, problem.training, problem.capacity, problem.values, terms.eviction
    options: dict[str, Any] = {
        "history_multiple": problem.history_multiple,
        "key_sample": key_sample,
        "trained": problem.fitted,
    }
    ladder_s = np.array([np.inf if s is None else s for s in terms.lifetimes_s])
    if metadata.decision == "ttl":
        return ttl_setting(*place, ladder_s.tolist(), terms.staleness_weight, **options)
    return replace(admission_setting(*place, **options), ladder_s=ladder_s)
