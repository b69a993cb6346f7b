"""What a sweep tries: for each option a range, or values to choose from, written as on the command line.

learning_rate=0.0003..0.01      any number between; by its logarithm where the range is above 0, else evenly
candidates=8..32                whole numbers, where the option takes whole numbers
seed=0|1|2                      one of these
feature_columns=none|auto|a+b   several columns are joined by +, none is unset
"""

import itertools
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from schemas.errors import ConfigError
from schemas.options.train import ReadConfig, TrainConfig, nearest

TO, OR, AND, NONE = "..", "|", "+", "none"
SIZES = ("cache_size", "cache_bytes", "cache_fraction")
SAME_FOR_ALL = (  # what is read, what is judged, and where
    *ReadConfig.model_fields,
    *("decision", "staleness_weight", "staleness_budget", "test_fraction", "cache_weights"),
    *("validation_fraction", "hold_back", "seeds", "device"),
)
SWEPT = tuple(name for name in TrainConfig.model_fields if name not in SAME_FOR_ALL)

Options = dict[str, Any]  # of TrainConfig, by name


@dataclass(frozen=True)
class Choices:
    """Values to choose from.

    Attributes:
        values: as TrainConfig takes them, by how they are written.
    """

    values: dict[str, Any]


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones where both are.

    Attributes:
        by_logarithm: whether each factor is as likely as another, rather than each step.
    """

    low: float
    high: float

    @property
    def by_logarithm(self) -> bool:
        return self.low > 0

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int)


Axis = Choices | Range
Space = dict[str, Axis]


def parse_space(texts: Mapping[str, str]) -> Space:
    """Return the axes that `texts` describe, by the option that they vary.

    Raises:
        ConfigError: one line that names the option, the value, and what it takes.
    """
    return {name: _axis(name, text) for name, text in texts.items()}


def sizes_of(space: Space) -> list[Options]:
    """Return the sizes of the cache that a space holds, one of which each trial has; [{}] where it holds none."""
    axes = {name: axis for name, axis in space.items() if name in SIZES and isinstance(axis, Choices)}
    return [
        dict(zip(axes, values, strict=True))
        for values in itertools.product(*(a.values.values() for a in axes.values()))
    ]


def combinations(space: Space) -> Iterator[Options]:
    """Yield every combination of the choices of a space; of each range the low end."""
    values = [list(axis.values.values()) if isinstance(axis, Choices) else [axis.low] for axis in space.values()]
    return (dict(zip(space, one, strict=True)) for one in itertools.product(*values))


def written(value: Any) -> str:
    """Return a value of an option as a space has it."""
    if value in (None, ()):
        return NONE
    return AND.join(map(str, value)) if isinstance(value, tuple) else str(value)


def _axis(name: str, text: str) -> Axis:
    field = _swept(name)
    if TO not in text:
        words = [word.strip() for word in text.split(OR)]
        return Choices({word: _value(name, field, word) for word in words})
    if OR in text or text.count(TO) != 1:
        raise ConfigError(f"space: {name}={text}: give LOW{TO}HIGH, or A{OR}B{OR}C")
    if name in SIZES:
        raise ConfigError(f"space: {name}={text}: scores of different sizes do not compare; give a few, A{OR}B{OR}C")
    low, high = (_value(name, field, word.strip()) for word in text.split(TO))
    if isinstance(low, bool) or not isinstance(low, int | float) or not isinstance(high, int | float):
        raise ConfigError(f"space: {name}={text}: only numbers have ranges; give choices, A{OR}B{OR}C")
    if not low < high:
        raise ConfigError(f"space: {name}={text}: the low end must be below the high one")
    return Range(low, high)


def _swept(name: str) -> FieldInfo:
    if name in SAME_FOR_ALL:
        raise ConfigError(
            f"space: {name} must be the same for all trials, or they would not compare; give --{_flag(name)}"
        )
    if name not in SWEPT:
        raise ConfigError(f"space: {name} is not an option of train{nearest(name, list(SWEPT))}")
    return TrainConfig.model_fields[name]


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _value(name: str, field: FieldInfo, word: str) -> Any:
    """Return what `word` stands for, checked as the option of that name is."""
    parts = (
        get_args(field.annotation) if get_origin(field.annotation) in (Union, types.UnionType) else (field.annotation,)
    )
    optional, many = type(None) in parts, any(get_origin(part) is tuple for part in parts)
    if word == NONE and (optional or many):
        return None if optional else ()
    adapter = _adapter(field)
    try:
        return adapter.validate_python(tuple(word.split(AND)) if many else word)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise ConfigError(f"space: {name}={word}: {reason}; see --{_flag(name)} of train") from None


def _adapter(field: FieldInfo) -> TypeAdapter[Any]:
    kind: Any = field.annotation
    return TypeAdapter(Annotated[kind, *field.metadata] if field.metadata else kind)
