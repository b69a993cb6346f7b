"""Which columns of `cache_metrics` are learned from: what kind each is, and what the training span holds of it.

Columns are found by reflection, so that those which users added count. What they hold is judged on the training span
alone: a column that is empty or constant until then is, to a policy that learns now.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
import sqlalchemy as sa

from cachesim.features.categories import REMEDY, vocabulary
from schemas.errors import ConfigError
from schemas.options.train import AUTO, nearest

BUILT_IN = "a built-in feature"
IDENTIFIES = "it numbers rows or objects"
POLICY_MADE = "the recording policy influenced it"
OTHER_TYPE = "it holds neither numbers, booleans nor text"
NO_VALUE = "has no value in the training span"

Use = Literal["auto", "by name", "no"]  # taken by "auto", only when it is named, never

OWN = dict.fromkeys(("id", "timestamp", "cache_key", "key_hash", "source_id"), IDENTIFIES)  # auto does not mention them
NEVER = OWN | dict.fromkeys(("size_bytes", "load_time_ms"), BUILT_IN)
BY_NAME_ONLY = {  # why auto leaves them out
    "cache_name": "the endpoint's averages are built in",
    "origin_version": "it names contents",
} | dict.fromkeys(("hit_ratio", "policy_triggered", "rl_action_taken", "was_hit"), POLICY_MADE)


@dataclass(frozen=True)
class FeaturePlan:
    """What is to be read for `feature_columns`, as far as the schema of the table tells.

    Attributes:
        asked: columns that were named.
        found: columns that "auto" found besides.
        left_out: why "auto" passed over the others, by column.
        texts: those of `asked` and `found` that hold text.
    """

    asked: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    texts: frozenset[str] = frozenset()

    @property
    def read(self) -> tuple[str, ...]:
        """All columns to be read."""
        return (*self.asked, *self.found)


def plan_features(table: sa.Table, names: tuple[str, ...]) -> FeaturePlan:
    """Return what to read of the reflected `table` for the option `feature_columns`.

    Raises:
        ConfigError: a name is unknown, given twice, or of a column that cannot be learned from.
    """
    asked = tuple(name for name in names if name != AUTO)
    _require_possible(table, asked)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"feature_columns: {', '.join(twice)} is named twice")
    others = [column.name for column in table.columns if AUTO in names and column.name not in (*asked, *OWN)]
    reasons = {name: BY_NAME_ONLY.get(name) or _why_never(table.columns[name]) for name in others}
    found = tuple(name for name, reason in reasons.items() if not reason)
    texts = frozenset(name for name in (*asked, *found) if isinstance(table.columns[name].type, sa.String))
    return FeaturePlan(asked, found, {name: reason for name, reason in reasons.items() if reason}, texts)


def _require_possible(table: sa.Table, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in table.columns:
            raise ConfigError(
                f"feature_columns: {table.name} has no column {name} to learn from"
                f"{nearest(name, [column.name for column in table.columns])}"
            )
        why = _why_never(table.columns[name])
        if why:
            raise ConfigError(f"feature_columns: {name} cannot be learned from: {why}; leave it out")


def _why_never(column: sa.Column[object]) -> str:
    if column.name in NEVER:
        return NEVER[column.name]
    return "" if isinstance(column.type, sa.Integer | sa.Numeric | sa.Boolean | sa.String) else OTHER_TYPE


def is_text(column: pd.Series) -> bool:
    """Return whether a column of `read_rows` holds text."""
    return isinstance(column.dtype, pd.CategoricalDtype)


def named_columns(plan: FeaturePlan, features: tuple[str, ...], weighed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns to read by name for options: those to learn from, and those of `weighed` that "auto" found."""
    return (*features, *(name for name in weighed if name in plan.found))


def choose_features(rows: pd.DataFrame, training: int) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the rows with the feature columns that are learned from, and what there is to say of them, as lines.

    Args:
        rows: of `read_rows`, at least one.
        training: the first so many rows are the training span, by which columns are judged.

    Raises:
        ConfigError: a column that was named has no value in the training span, or is text that is no category.
    """
    plan: FeaturePlan = rows.attrs["plan"]
    span = rows.iloc[:training]
    said = [line for name in plan.asked for line in _warnings(name, span[name])]
    judged = {name: _why_useless(rows[name], span[name], rows["id"]) for name in plan.found}
    taken = tuple(name for name, why in judged.items() if not why)
    left_out = plan.left_out | {name: why for name, why in judged.items() if why}
    chosen = rows.drop(columns=[name for name in plan.found if name not in taken])
    chosen.attrs["feature_columns"] = (*plan.asked, *taken)
    if plan.found or plan.left_out:
        said.append(_told(taken, left_out))
    return chosen, tuple(said)


def feature_use(table: sa.Table, rows: pd.DataFrame) -> dict[str, tuple[Use, str]]:
    """Return how each column of the reflected `table` can be a feature, and why not more.

    Args:
        table: where `rows` are from.
        rows: of `read_rows` for all columns of `readable_features`, at least one; they count as the training span.
    """
    return {column.name: _use(column, rows) for column in table.columns}


def readable_features(table: sa.Table) -> tuple[str, ...]:
    """Return what to ask `read_rows` for to get all columns that can be features, as far as the schema tells."""
    return (AUTO, *(column.name for column in table.columns if column.name in BY_NAME_ONLY))


def _use(column: sa.Column[object], rows: pd.DataFrame) -> tuple[Use, str]:
    why = _why_never(column) or _fault(rows[column.name])
    if why:
        return "no", why
    values = rows[column.name]
    why = BY_NAME_ONLY.get(column.name) or _why_useless(values, values, rows["id"])
    return ("by name", why) if why else ("auto", "")


def _warnings(name: str, span: pd.Series) -> Iterator[str]:
    """Say what is odd about a column that was named; ConfigError when nothing can be made of it."""
    fault = _fault(span)
    if fault:
        remedy = "leave it out" if fault == NO_VALUE else REMEDY
        raise ConfigError(f"feature_columns: {name} {fault}; {remedy}")
    if BY_NAME_ONLY.get(name) == POLICY_MADE:
        yield (
            f"warning: feature_columns: {name} tells what the recording policy did; "
            "with another policy in charge it will not mean the same"
        )
    if _is_constant(span):
        yield f"warning: feature_columns: {name} is the same in all requests of the training span; it teaches nothing"


def _fault(span: pd.Series) -> str:
    """Why a column can be no feature, to stand behind its name; empty when it can."""
    if span.isna().all():
        return NO_VALUE
    if is_text(span):
        try:
            vocabulary(span.cat.codes.to_numpy(), span.cat.categories.tolist())
        except ConfigError as error:
            return str(error)
    return ""


def _why_useless(column: pd.Series, span: pd.Series, ids: pd.Series) -> str:
    """Why "auto" leaves a column out; empty when it takes it."""
    fault = _fault(span)
    if fault or is_text(column):
        return fault or ("is constant" if _is_constant(span) else "")
    infinite = np.flatnonzero(np.isinf(_numbers(column)))
    if infinite.size:
        return f"is infinite in the row of id {ids.iloc[infinite[0]]}"
    if _is_constant(span):
        return "is constant"
    return IDENTIFIES if _numbers_rows(span) else ""


def _is_constant(span: pd.Series) -> bool:
    """Whether all requests look alike to a policy. A missing number counts as the mean, a missing text as no text."""
    if is_text(span):
        return bool((span.cat.codes == span.cat.codes.iloc[0]).all())
    known = _numbers(span.dropna())
    return bool((known == known[0]).all())


def _numbers_rows(span: pd.Series) -> bool:
    """Whether numbers only go up with time, as clocks and counters do, or are whole and all different, as names are."""
    known = _numbers(span.dropna())
    different = np.unique(known).size
    goes_up = different > 2 and bool((np.diff(known) >= 0).all())
    return goes_up or (different == known.size and pd.api.types.is_integer_dtype(span.dtype))


def _numbers(column: pd.Series) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return column.to_numpy(np.float64, na_value=np.nan)


def _told(taken: tuple[str, ...], left_out: dict[str, str]) -> str:
    reasons = dict.fromkeys(left_out.values())
    groups = (f"{', '.join(n for n, why in left_out.items() if why == reason)} ({reason})" for reason in reasons)
    return f"feature_columns auto: took {', '.join(taken) or 'none'}; left out {'; '.join(groups)}"
