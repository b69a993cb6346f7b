"""Text columns as numbers: one column that is 0 or 1 for each frequent value of the training span.

The kernels read numbers alone. What is not among those values, a text that training did not know or a missing one, is
0 in all of them. Texts are compared as they are, by nothing that differs between processes or languages.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ConfigError
from schemas.trace import Trace

MAX_INDICATORS = 16  # of one column
LEAST_SHARE = 0.005  # of the training requests: rarer values stay without an indicator, there is too little to learn
MAX_VALUES = 1_000  # different ones in the training span; more are no categories
MAX_CHARS = 255  # of a value
REMEDY = "group its values into fewer, or leave the column out"


@dataclass(frozen=True)
class Indicator:
    """A column that is 1 where the text column `column` has the text `value`, else 0."""

    column: str
    value: str

    @property
    def name(self) -> str:
        """What the column is called, e.g. "price_area=DK1"."""
        return f"{self.column}={self.value}"


def vocabulary(codes: NDArray[np.integer], values: Sequence[str]) -> tuple[int, ...]:
    """Return which values of a text column get an indicator: the most frequent first, equals in the order of texts.

    Args:
        codes: shape (n,), the training span's, into `values`; -1 where missing.
        values: the texts; those that do not occur in `codes` do not count.

    Returns:
        codes of values, at most MAX_INDICATORS.

    Raises:
        ConfigError: the span has too many different values, a too long one, or none that is frequent enough; the
            message starts with a verb, for the name of the column to stand before it.
    """
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    present = np.flatnonzero(counts)
    if not present.size:
        raise ConfigError("has no value in the training span")
    if present.size > MAX_VALUES:
        raise ConfigError(f"has {present.size:,} different values in the training span, at most {MAX_VALUES:,} may be")
    if any(len(values[code]) > MAX_CHARS for code in present.tolist()):
        raise ConfigError(f"has values of more than {MAX_CHARS} characters")
    frequent = [code for code in present.tolist() if counts[code] >= LEAST_SHARE * codes.size]
    if not frequent:
        raise ConfigError(f"has no value in {LEAST_SHARE:.1%} of the training requests or more")
    frequent.sort(key=lambda code: (-counts[code], values[code]))
    return tuple(frequent[:MAX_INDICATORS])


def encode(trace: Trace, training: int) -> tuple[Trace, tuple[Indicator, ...]]:
    """Return the trace with indicators, behind its columns, in place of its text columns; and which they are, in order.

    Args:
        trace: n requests.
        training: the first so many requests give the values that get an indicator.

    Raises:
        ConfigError: a text column cannot be encoded; see `vocabulary`.
    """
    if not trace.text_names:
        return trace, ()
    encoded = list(_indicators(trace, training))
    indicators = tuple(indicator for indicator, _ in encoded)
    columns = np.column_stack([trace.columns, *(column for _, column in encoded)])
    names = (*trace.column_names, *(indicator.name for indicator in indicators))
    return replace(trace, columns=columns, column_names=names, text_names=(), text_values=()), indicators


def _indicators(trace: Trace, training: int) -> Iterator[tuple[Indicator, NDArray[np.float32]]]:
    for name, values, codes in zip(trace.text_names, trace.text_values, trace.texts.T, strict=True):
        try:
            chosen = vocabulary(codes[:training], values)
        except ConfigError as error:
            raise ConfigError(f"feature_columns: {name} {error}; {REMEDY}") from None
        for code in chosen:
            yield Indicator(name, values[code]), (codes == code).astype(np.float32)
