"""The network and the exported policy: what was trained, what the replay runs and what is exported score alike."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cachesim.eviction.scorer import score_raw
from cachesim.features.table import Normaliser, feature_table, fit_normaliser, raw_normaliser, transform
from learning.networks import ExportedPolicy, ScorerNet

COLUMNS = ("humidity", "price")
TABLE = feature_table(COLUMNS)
TOLERANCE = 1e-5


def raw_rows(count: int, seed: int) -> np.ndarray:
    """Rows over all magnitudes that float32 has, with zeros, missing gaps and negative columns: float32 (count, f)."""
    rng = np.random.default_rng(seed)
    rows = rng.random((count, len(TABLE))) * 10.0 ** rng.integers(-40, 38, (count, len(TABLE)))
    usual = rng.random(rows.shape) < 0.7
    rows[usual] = (2.0 ** rng.uniform(-4, 24, rows.shape))[usual]
    rows[rng.random(rows.shape) < 0.1] = 0
    rows[:, -len(COLUMNS) :] *= rng.choice([-1, 1], (count, len(COLUMNS)))
    for i, feature in enumerate(TABLE):
        rows[:, i] = np.minimum(rows[:, i], feature.high)
        if feature.low == -1:
            rows[rng.random(count) < 0.3, i] = -1
    return rows.astype(np.float32)


@pytest.fixture(scope="module")
def normaliser() -> Normaliser:
    return fit_normaliser(raw_rows(2_000, seed=1), COLUMNS, 300.0)


def net(seed: int = 0) -> ScorerNet:
    torch.manual_seed(seed)
    made = ScorerNet(len(TABLE))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter *= 2  # scores of both signs and of a size that shows differences
    return made


def exported_scores(policy: nn.Module, raw: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return policy(torch.from_numpy(raw)).numpy()


def test_the_exported_transform_equals_the_compiled_one(normaliser: Normaliser) -> None:
    policy = ExportedPolicy(net(), normaliser)
    policy.net = nn.Identity()  # type: ignore[assignment]
    raw = raw_rows(5_000, seed=2)
    compiled = raw.copy()
    for row in compiled:
        transform(row, normaliser)
    assert np.abs(compiled).max() == 8
    np.testing.assert_allclose(exported_scores(policy, raw), compiled, atol=TOLERANCE, rtol=0)


@given(value=st.floats(width=32, allow_nan=False), column=st.integers(0, len(TABLE) - 1))
def test_the_two_transforms_agree_on_any_value_of_any_feature(
    normaliser: Normaliser, value: float, column: int
) -> None:
    policy = ExportedPolicy(net(), normaliser)
    policy.net = nn.Identity()  # type: ignore[assignment]
    raw = np.zeros((1, len(TABLE)), np.float32)
    raw[0, column] = value
    compiled = raw.copy()
    transform(compiled[0], normaliser)
    np.testing.assert_allclose(exported_scores(policy, raw), compiled, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("seed", range(5))
def test_exported_scores_equal_the_compiled_ones(normaliser: Normaliser, seed: int) -> None:
    made, raw = net(seed), raw_rows(5_000, seed)
    compiled = score_raw(made.compiled(normaliser), raw)
    assert compiled.std() > 0.1
    np.testing.assert_allclose(exported_scores(ExportedPolicy(made, normaliser), raw), compiled, atol=1e-5, rtol=1e-5)


def test_unscaled_scores_of_the_network_equal_the_compiled_ones() -> None:
    made, rows = net(), np.random.default_rng(0).normal(size=(500, len(TABLE))).astype(np.float32)
    compiled = score_raw(made.compiled(raw_normaliser(len(TABLE))), rows)
    np.testing.assert_allclose(exported_scores(made, rows), compiled, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("way", ["script", "trace"])
def test_the_exported_policy_survives_torch_script(normaliser: Normaliser, way: str) -> None:
    policy, raw = ExportedPolicy(net(), normaliser).eval(), raw_rows(300, seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's, of TorchScript as such
        example = torch.from_numpy(raw[:7])
        scripted = torch.jit.script(policy) if way == "script" else torch.jit.trace(policy, example)
    np.testing.assert_array_equal(exported_scores(scripted, raw), exported_scores(policy, raw))
    assert exported_scores(scripted, raw[:1]).shape == (1,)


def test_each_candidate_is_scored_alone() -> None:
    made, x = net(), torch.randn(3, 16, len(TABLE), generator=torch.Generator().manual_seed(0))
    scores = made(x)
    assert scores.shape == (3, 16)
    torch.testing.assert_close(made(x.flip(1)), scores.flip(1))
    torch.testing.assert_close(made(x[1, 5]), scores[1, 5])


def test_the_compiled_scorer_is_a_copy(normaliser: Normaliser) -> None:
    made, raw = net(), raw_rows(50, seed=4)
    scorer = made.compiled(normaliser)
    before = score_raw(scorer, raw)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 1
    np.testing.assert_array_equal(score_raw(scorer, raw), before)
