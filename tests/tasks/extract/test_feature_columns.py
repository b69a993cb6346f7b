"""Which columns are learned from: found by reflection, judged by what the training span holds of them."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from infra.database.connection import writing
from schemas.errors import ConfigError, TraceError
from schemas.options.train import AUTO
from schemas.tables import cache_metrics, key_hash
from schemas.trace import Trace
from tasks.extract.feature_columns import choose_features
from tasks.extract.read import RowQuery, read_rows
from tasks.extract.to_trace import to_trace
from tasks.validate.validate import validate_rows

REQUESTS, TRAINING = 2_000, 1_200
Record = Callable[..., None]
Choose = Callable[..., tuple[Trace, tuple[str, ...]]]


@pytest.fixture
def columns(engine: sa.Engine) -> Record:
    """Record 2,000 requests with columns of the user's, each given as type and values."""

    def record(**columns: tuple[str, list[object]]) -> None:
        with engine.begin() as connection:
            for name, (kind, _) in columns.items():
                if name not in cache_metrics.columns:
                    connection.exec_driver_sql(f'ALTER TABLE cache_metrics ADD COLUMN "{name}" {kind}')
        rows = [
            {"timestamp": n, "cache_name": "a", "cache_key": str(n % 50), "key_hash": key_hash(str(n % 50))}
            for n in range(REQUESTS)
        ]
        with writing(engine) as connection:
            connection.execute(sa.insert(cache_metrics), rows)
            for name, (_, values) in columns.items():
                changes = [(value, number + 1) for number, value in enumerate(values)]
                connection.exec_driver_sql(f'UPDATE cache_metrics SET "{name}" = ? WHERE id = ?', changes)

    return record


@pytest.fixture
def choose(engine: sa.Engine) -> Choose:
    """Read and choose as `train` does; return the trace and the lines that are said."""

    def call(*names: str) -> tuple[Trace, tuple[str, ...]]:
        rows = read_rows(engine, RowQuery(feature_columns=names))
        chosen, said = choose_features(rows, TRAINING)
        return to_trace(chosen), said

    return call


def repeat(*values: object) -> list[object]:
    return [values[n % len(values)] for n in range(REQUESTS)]


def random_floats(seed: int = 0) -> list[object]:
    return np.random.default_rng(seed).normal(size=REQUESTS).tolist()


def first_half_then(first: list[object], then: object) -> list[object]:
    return [value if n < TRAINING else then for n, value in enumerate(first)]


def test_numbers_booleans_and_text_are_learned_from_in_one_list(columns: Record, choose: Choose) -> None:
    columns(
        wind=("FLOAT", random_floats()),
        area=("VARCHAR(8)", repeat("DK1", None, "DK2")),
        holiday=("BOOLEAN", repeat(True, False, None)),
        tariff=("TEXT", repeat("high", "low")),
    )
    trace, said = choose("area", "wind", "tariff", "holiday")
    assert said == ()
    assert (trace.column_names, trace.text_names) == (("wind", "holiday"), ("area", "tariff"))
    np.testing.assert_array_equal(trace.columns[:, 1], np.array(repeat(1, 0, np.nan), np.float32))
    for name, expected in (("area", repeat("DK1", None, "DK2")), ("tariff", repeat("high", "low"))):
        at = trace.text_names.index(name)
        values = (*trace.text_values[at], None)  # -1 is the last one
        assert [values[code] for code in trace.texts[:, at]] == expected


def test_auto_takes_what_can_be_learned_from_and_says_why_not_the_rest(columns: Record, choose: Choose) -> None:
    columns(
        wind=("FLOAT", random_floats()),
        holiday=("BOOLEAN", repeat(True, False, None)),
        area=("VARCHAR(8)", repeat("DK1", None, "DK2")),
        item_count=("BIGINT", repeat(5, 7, 6)),
        hit_ratio=("FLOAT", random_floats()),
        was_hit=("BOOLEAN", repeat(True, False)),
        rl_action_taken=("INTEGER", repeat(0, 1)),
        policy_triggered=("TEXT", repeat("lru", "lfu")),
        same=("INTEGER", repeat(3, None)),
        same_text=("TEXT", repeat("x")),
        late=("FLOAT", first_half_then([None] * REQUESTS, 1.5)),
        clock=("FLOAT", [n // 3 for n in range(REQUESTS)]),
        ticket=("INTEGER", [n * 1_237 % 2_003 for n in range(REQUESTS)]),
        agent=("TEXT", [f"agent {n}" for n in range(REQUESTS)]),
        body=("TEXT", repeat("x" * 300, "y")),
        overflown=("FLOAT", repeat(1.0, 2.0, float("inf"))),
        picture=("BLOB", repeat(b"x")),
        day=("DATE", repeat("2026-03-01")),
        origin_version=("BIGINT", repeat(1, 2)),
        load_time_ms=("FLOAT", repeat(1.0, 2.0)),
    )
    trace, said = choose(AUTO)
    assert (trace.column_names, trace.text_names) == (("item_count", "wind", "holiday"), ("area",))
    assert len(said) == 1
    assert said[0].startswith("feature_columns auto: took item_count, wind, holiday, area; left out ")
    for reason in (
        "cache_name (the endpoint's averages are built in)",
        "load_time_ms, size_bytes (a built-in feature)",
        "hit_ratio, policy_triggered, rl_action_taken, was_hit (the recording policy influenced it)",
        "traffic_intensity, ttl_s, late (has no value in the training span)",
        "origin_version (it names contents)",
        "same, same_text (is constant)",
        "clock, ticket (it numbers rows or objects)",
        "agent (has 1,200 different values in the training span, at most 1,000 may be)",
        "body (has values of more than 255 characters)",
        "overflown (is infinite in the row of id 3)",
        "picture, day (it holds neither numbers, booleans nor text)",
    ):
        assert reason in said[0]
    assert "\n" not in said[0]
    assert "key_hash" not in said[0]


def test_auto_beside_names_adds_them(columns: Record, choose: Choose) -> None:
    columns(wind=("FLOAT", random_floats()), hit_ratio=("FLOAT", random_floats(1)), sun=("FLOAT", random_floats(2)))
    trace, said = choose(AUTO, "sun", "hit_ratio")
    assert trace.column_names == ("sun", "hit_ratio", "wind")
    assert said[0].startswith("warning: feature_columns: hit_ratio tells what the recording policy did")
    assert said[1].startswith("feature_columns auto: took wind; left out ")


def test_auto_judges_by_the_training_span_alone(columns: Record, choose: Choose) -> None:
    texts: list[object] = [f"later {n}" for n in range(REQUESTS)]
    columns(
        area=("TEXT", [value if n < TRAINING else texts[n] for n, value in enumerate(repeat("DK1", "DK2"))]),
        wind=("FLOAT", first_half_then(random_floats(), None)),
        flag=("BOOLEAN", [n >= TRAINING for n in range(REQUESTS)]),
    )
    trace, said = choose(AUTO)
    assert (trace.column_names, trace.text_names) == (("wind",), ("area",))
    assert "flag (is constant)" in said[0]


@pytest.mark.parametrize("name", ["hit_ratio", "was_hit", "rl_action_taken", "policy_triggered"])
def test_what_the_recording_policy_influenced_is_warned_about_once(columns: Record, choose: Choose, name: str) -> None:
    values = repeat("lru", "lfu") if name == "policy_triggered" else repeat(1, 0)
    columns(**{name: ("TEXT", values)})
    trace, said = choose(name)
    assert (*trace.column_names, *trace.text_names) == (name,)
    assert [line.startswith(f"warning: feature_columns: {name} tells what") for line in said] == [True]


@pytest.mark.parametrize(("kind", "value"), [("FLOAT", 2.5), ("BOOLEAN", True), ("TEXT", "x")])
def test_a_constant_column_that_was_named_is_warned_about(columns: Record, choose: Choose, kind: str, value: object):
    columns(fixed=(kind, repeat(value)))
    trace, said = choose("fixed")
    assert (*trace.column_names, *trace.text_names) == ("fixed",)
    assert said == (
        "warning: feature_columns: fixed is the same in all requests of the training span; it teaches nothing",
    )


def test_a_text_that_is_now_and_then_missing_is_not_constant(columns: Record, choose: Choose) -> None:
    columns(note=("TEXT", repeat("x", None)))
    assert choose("note")[1] == ()


@pytest.mark.parametrize(
    ("kind", "values", "told"),
    [
        ("FLOAT", [None] * REQUESTS, "late has no value in the training span; leave it out"),
        ("TEXT", [None] * REQUESTS, "late has no value in the training span; leave it out"),
        ("TEXT", [str(n) for n in range(REQUESTS)], "late has 1,200 different values in the training span, at most"),
        ("TEXT", repeat("x" * 256), "late has values of more than 255 characters"),
    ],
    ids=["numbers", "missing text", "many", "long"],
)
def test_a_column_that_was_named_and_teaches_nothing_is_refused(
    columns: Record, choose: Choose, kind: str, values: list[object], told: str
) -> None:
    columns(late=(kind, values))
    with pytest.raises(ConfigError, match=f"^feature_columns: {told}"):
        choose("late")


def test_an_infinite_value_names_column_and_row(columns: Record, engine: sa.Engine) -> None:
    columns(wind=("FLOAT", [float("-inf") if n == 41 else 1.0 * n % 7 for n in range(REQUESTS)]))
    rows = read_rows(engine, RowQuery(feature_columns=("wind",)))
    report = validate_rows(rows)
    assert report.faults["wind is finite"].tolist() == [42]
    assert "wind is finite: not so in 1 row (id 42 has -inf)" in [str(check) for check in report.checks]


def test_columns_of_each_kind_pass_validation_with_their_gaps(columns: Record, engine: sa.Engine) -> None:
    columns(wind=("FLOAT", repeat(1.0, None)), area=("TEXT", repeat("DK1", None)), holiday=("BOOLEAN", repeat(1, None)))
    report = validate_rows(read_rows(engine, RowQuery(feature_columns=("wind", "area", "holiday"))))
    assert report.passed
    assert {"wind is finite", "holiday is finite"} < {check.name for check in report.checks}


@pytest.mark.parametrize("kind", ["FLOAT", "INTEGER", "NUMERIC(10, 2)"])
def test_what_is_no_number_in_a_column_of_numbers_is_told(columns: Record, choose: Choose, kind: str) -> None:
    columns(wind=(kind, repeat(1, 2, "n/a")))
    with pytest.raises(TraceError, match="column wind holds 'n/a' where a number of 64 bits is needed; mend"):
        choose("wind")


def test_numbers_that_sqlite_holds_as_text_are_numbers(columns: Record, choose: Choose) -> None:
    columns(price=("NUMERIC(10, 2)", repeat(1, 2.5, "3.25")))
    assert choose("price")[0].columns[:3, 0].tolist() == [1, 2.5, 3.25]


def test_numbers_beyond_32_bits_stay_finite(columns: Record, choose: Choose) -> None:
    columns(wind=("FLOAT", repeat(1e300, -1e300, 1.0)), debt=("BIGINT", repeat(2**62, -(2**62))))
    trace, _ = choose("wind", "debt")
    assert np.isfinite(trace.columns).all()
    assert trace.columns[0].tolist() == [np.finfo(np.float32).max, 2.0**62]


def test_a_column_whose_name_is_strange_is_read(columns: Record, choose: Choose) -> None:
    columns(**{"price; DROP TABLE x": ("TEXT", repeat("a", "b"))})
    assert choose(AUTO)[0].text_names == ("price; DROP TABLE x",)


@pytest.fixture
def frames(columns: Record, engine: sa.Engine) -> pd.DataFrame:
    columns(wind=("FLOAT", random_floats()), same=("INTEGER", repeat(3)))
    return read_rows(engine, RowQuery(feature_columns=(AUTO,)))


def test_choosing_leaves_the_rows_as_they_were(frames: pd.DataFrame) -> None:
    before, names = frames.copy(), frames.attrs["feature_columns"]
    chosen, _ = choose_features(frames, TRAINING)
    pd.testing.assert_frame_equal(frames, before)
    assert frames.attrs["feature_columns"] == names == ()
    assert chosen.attrs["feature_columns"] == ("wind",)
