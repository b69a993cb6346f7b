"""Drift: nothing for equal data, more for data that moved further, and the same either way round."""

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from infra.database.connection import writing
from schemas.bundle import DataProfile
from schemas.errors import StorageError
from schemas.tables import rl_models
from tasks.drift.psi import GAP, decile_edges, drift, number_shares, profile_of, psi, text_shares
from tasks.drift.reference import reference_of

numbers = arrays(np.float64, st.integers(1, 200), elements=st.floats(-1e300, 1e300) | st.just(np.nan))
shares = st.lists(st.floats(0, 1), min_size=2, max_size=12)


@given(numbers)
def test_the_bins_hold_all_values_and_equal_data_has_not_drifted(values):
    edges = decile_edges(values)
    found = number_shares(edges, values)
    assert np.all(np.diff(edges) > 0)
    assert found.size == edges.size + 2
    assert found.sum() == pytest.approx(1)
    assert psi(found, number_shares(edges, np.roll(values, 1))) == 0


@given(numbers, numbers)
def test_drift_is_never_negative_and_the_same_either_way(some, others):
    edges = decile_edges(some)
    p, q = number_shares(edges, some), number_shares(edges, others)
    assert psi(p, q) >= 0
    assert psi(p, q) == pytest.approx(psi(q, p))


def test_the_deciles_of_different_values_hold_a_tenth_each():
    values = np.random.default_rng(0).normal(size=10_000)
    assert number_shares(decile_edges(values), values)[:-1] == pytest.approx([0.1] * 10, abs=1e-3)


def test_samples_of_one_distribution_hardly_drift():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=10_000), rng.normal(size=10_000)
    edges = decile_edges(one)
    assert psi(number_shares(edges, one), number_shares(edges, other)) < 0.01


def test_drift_rises_with_the_shift():
    values = np.random.default_rng(0).normal(size=10_000)
    edges = decile_edges(values)
    found = [psi(number_shares(edges, values), number_shares(edges, values + shift)) for shift in (0, 0.1, 0.3, 1, 3)]
    assert found == sorted(found)
    assert found[2] < 0.25 < found[3]


def test_a_known_index_is_golden():
    expected = 0.2 * np.log(0.7 / 0.5) - 0.2 * np.log(0.3 / 0.5)
    assert psi([0.7, 0.3], [0.5, 0.5]) == pytest.approx(expected)


@pytest.mark.parametrize("moved", [4.9, 5.1, np.nan])
def test_a_constant_drifts_up_and_down_and_away(moved):
    values = np.full(1_000, 5.0)
    edges = decile_edges(values)
    other = np.where(np.arange(1_000) < 200, moved, 5.0)
    assert psi(number_shares(edges, values), number_shares(edges, other)) > 0.25


@given(st.lists(st.sampled_from(["a", "b", "ü", None]), min_size=1, max_size=50))
def test_the_shares_of_texts_add_up_and_unknown_ones_are_one_bin(texts):
    column = pd.Series(pd.Categorical(texts))
    known = text_shares(("b", "a"), column)
    assert known.tolist() == [texts.count(text) / len(texts) for text in ("b", "a", "ü", None)]


def rows_of(load_time_ms: float = 1.0, **columns: object) -> pd.DataFrame:
    number = np.arange(1_000)
    return pd.DataFrame(
        {
            "id": number,
            "timestamp": number * 1_000_000,
            "cache_name": pd.Categorical(np.where(number % 4, "a", "b")),
            "size_bytes": pd.array(number + 1, "Int64"),
            "load_time_ms": load_time_ms * (number + 1),
            **columns,
        }
    )


def test_each_feature_is_compared_and_names_itself():
    area = pd.Categorical(np.where(np.arange(1_000) % 2, "DK1", "DK2"))
    holiday = pd.array([True, None] * 500, "boolean")
    rows = rows_of(area=area, holiday=holiday)
    profile = profile_of(rows, ("area", "holiday"))
    assert drift(profile, rows) == dict.fromkeys(
        ("size_bytes", "load_time_ms", GAP, "holiday", "cache_name", "area"), 0.0
    )
    found = drift(profile, rows_of(area=pd.Categorical(["DK1"] * 1_000), holiday=holiday, timestamp=np.arange(1_000)))
    assert {name for name, value in found.items() if value > 0.25} == {"area", GAP}


def test_a_feature_that_is_gone_or_of_another_kind_is_not_compared():
    profile = profile_of(rows_of(wind=np.ones(1_000)), ("wind",))
    assert "wind" not in drift(profile, rows_of())
    assert "wind" not in drift(profile, rows_of(wind=pd.Categorical(["1.0"] * 1_000)))


def test_a_profile_is_small_and_survives_json():
    names = pd.Categorical([f"endpoint {number}" for number in range(1_000)])
    profile = profile_of(rows_of(cache_name=names), ())
    text = profile.model_dump_json()
    assert len(text) < 3_000
    assert DataProfile.model_validate_json(text) == profile


@pytest.fixture
def model(engine: sa.Engine):
    """Put a row into rl_models."""

    def record(version: int, **values: object) -> None:
        row = {"registered_name": "cache-policy-ttl", "version": version, "mlflow_run_id": f"run {version}"}
        profile = profile_of(rows_of(float(version)), ()).model_dump(mode="json")
        with writing(engine) as connection:
            connection.execute(
                sa.insert(rl_models).values({**row, "table_name": "t", "data_profile": profile, **values})
            )

    return record


def reference_name(engine: sa.Engine) -> str | None:
    found = reference_of(engine, "ttl", "t")
    return found.name if found else None


def test_the_model_in_production_is_compared_with_and_else_the_newest(model, engine):
    assert reference_name(engine) is None
    model(1, registered_name="cache-policy-eviction")
    model(2, table_name="another")
    assert reference_name(engine) is None
    model(3, stage="Production")
    assert reference_name(engine) == "cache-policy-ttl version 3 (stage Production)"
    model(4)
    assert reference_name(engine) == "cache-policy-ttl version 3 (stage Production)"
    with writing(engine) as connection:
        connection.execute(sa.update(rl_models).values(stage="Archived"))
    assert reference_name(engine) == "cache-policy-ttl version 4 (stage Archived)"
    assert reference_of(engine, "ttl", "t").profile == profile_of(rows_of(4.0), ())


def test_a_model_without_a_profile_is_nothing_to_compare_with(model, engine):
    model(1, data_profile=None)
    assert reference_name(engine) is None


def test_a_damaged_profile_is_one_line(model, engine):
    model(1, data_profile={"numbers": 3})
    with pytest.raises(StorageError, match="rl_models: data_profile of cache-policy-ttl version 1 is damaged"):
        reference_name(engine)
