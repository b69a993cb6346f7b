"""Text columns as numbers: which texts get a column, that it tells them exactly, and that the future has no say."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesim.features.categories import (
    LEAST_SHARE,
    MAX_CHARS,
    MAX_INDICATORS,
    MAX_VALUES,
    Indicator,
    encode,
    vocabulary,
)
from cachesim.features.table import FEATURES, TRANSFORMS, feature_table
from schemas.errors import ConfigError
from schemas.trace import Trace

texts = st.lists(st.none() | st.sampled_from("abcdefghijklmnopqrstuvwxyzæøå"), min_size=1, max_size=300)


def coded(column: list[str | None], order: Callable[[set[str]], list[str]] = sorted) -> tuple[np.ndarray, list[str]]:
    """The column as codes into the list of its different texts, in some order."""
    values = order({text for text in column if text is not None})
    return np.array([-1 if text is None else values.index(text) for text in column], np.int32), values


def with_text(trace: Trace, column: list[str | None], name: str = "area") -> Trace:
    codes, values = coded(column)
    return replace(trace, texts=codes[:, None].copy(), text_names=(name,), text_values=(tuple(values),))


def vocabulary_of(column: list[str | None]) -> list[str]:
    """The plain model: the commonest texts first, equally common ones by the alphabet."""
    counts = Counter(text for text in column if text is not None)
    common = [text for text, count in counts.items() if count / len(column) >= LEAST_SHARE]
    return sorted(common, key=lambda text: (-counts[text], text))[:MAX_INDICATORS]


@given(texts.filter(any))
def test_the_commonest_texts_get_an_indicator_however_they_are_coded(column: list[str | None]) -> None:
    for order in (sorted, lambda values: sorted(values, reverse=True)):
        codes, values = coded(column, order)
        assert [values[code] for code in vocabulary(codes, values)] == vocabulary_of(column)


@given(column=texts.filter(any), later=texts)
def test_an_indicator_is_one_for_its_text_and_unknown_and_missing_texts_are_zero_in_all(
    make_trace: Callable[..., Trace], column: list[str | None], later: list[str | None]
) -> None:
    whole = column + later
    trace = make_trace(range(len(whole)), columns={"wind": np.arange(len(whole))})
    encoded, indicators = encode(with_text(trace, whole), len(column))
    assert indicators == tuple(Indicator("area", text) for text in vocabulary_of(column))
    assert encoded.column_names == ("wind", *(f"area={text}" for text in vocabulary_of(column)))
    assert (encoded.text_names, encoded.texts.shape) == ((), (len(whole), 0))
    assert (encoded.columns.dtype, encoded.columns[:, 0].tolist()) == (np.float32, list(range(len(whole))))
    for text, row in zip(whole, encoded.columns, strict=True):
        assert row[1:].tolist() == [float(text == indicator.value) for indicator in indicators]


@given(column=texts.filter(any), later=texts, other=texts)
def test_later_texts_change_nothing_before_them(
    make_trace: Callable[..., Trace], column: list[str | None], later: list[str | None], other: list[str | None]
) -> None:
    first, second = (
        encode(with_text(make_trace(range(len(whole))), whole), len(column))
        for whole in (column + later, column + other)
    )
    assert first[1] == second[1]
    np.testing.assert_array_equal(first[0].columns[: len(column)], second[0].columns[: len(column)])


def test_a_trace_without_text_is_left_as_it_is(make_trace: Callable[..., Trace]) -> None:
    trace = make_trace([0, 1], columns={"wind": [1, 2]})
    assert encode(trace, 1) == (trace, ())


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ([None] * 5, "area has no value in the training span"),
        (
            [str(i) for i in range(MAX_VALUES + 1)],
            f"area has {MAX_VALUES + 1:,} different values in the training span, at most 1,000 may be; group",
        ),
        (["a", "b" * (MAX_CHARS + 1)], "area has values of more than 255 characters"),
        ([str(i // 2) for i in range(500)], "area has no value in 0.5% of the training requests or more"),
    ],
    ids=["missing", "many", "long", "rare"],
)
def test_a_column_that_is_no_category_is_refused_with_the_remedy(
    make_trace: Callable[..., Trace], column: list[str | None], told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        encode(with_text(make_trace(range(len(column))), column), len(column))
    assert str(caught.value).startswith(f"feature_columns: {told}")
    assert str(caught.value).endswith("leave the column out")


def test_the_limits_themselves_are_allowed() -> None:
    values = [*(str(i) for i in range(MAX_VALUES - 1)), "b" * MAX_CHARS]
    codes = np.concatenate([np.arange(MAX_VALUES), np.zeros(200, int)])
    assert vocabulary(codes, values) == (0,)


def test_features_tell_the_column_and_the_text() -> None:
    """A column may be called as a built-in feature is, and may hold what looks like another column's indicator."""
    table = feature_table(("age", "wind", "area=DK1", "area=DK1"), (Indicator("area", "DK1"),))
    age, wind, odd, area = table[len(FEATURES) :]
    assert [feature.name for feature in (age, wind, odd, area)] == [
        "age (column)",
        "wind",
        "area=DK1 (column)",
        "area=DK1",
    ]
    assert [(feature.column, feature.category) for feature in (age, wind, odd, area)] == [
        ("age", None),
        ("wind", None),
        ("area=DK1", None),
        ("area", "DK1"),
    ]
    assert "column area" in area.definition
    assert "'DK1'" in area.definition
    assert (area.low, area.high, area.unit) == (0, 1, "0 or 1")
    assert TRANSFORMS[area.transform] == TRANSFORMS[wind.transform]
    assert {feature.column for feature in FEATURES} == {""}
    assert len({feature.name for feature in table}) == len(table)
