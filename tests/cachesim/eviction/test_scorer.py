"""The network as the replay runs it: against matrix products, for any width and any number of candidates."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cachesim.eviction.scorer import Scorer, build_scorer, score, score_raw, workspace
from cachesim.features.table import raw_normaliser

Layers = list[np.ndarray]  # weights and biases in the order of `build_scorer`


def random_layers(n_features: int, hidden: int, seed: int) -> Layers:
    rng = np.random.default_rng(seed)
    shapes = ((hidden, n_features), (hidden,), (hidden, hidden), (hidden,), (hidden,), (1,))
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def scorer_of(layers: Layers) -> Scorer:
    return build_scorer(raw_normaliser(layers[0].shape[1]), *layers)


def random_rows(count: int, n_features: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, n_features)).astype(np.float32)


@settings(max_examples=60)
@given(
    n_features=st.integers(1, 40), hidden=st.integers(1, 40), candidates=st.integers(1, 35), seed=st.integers(0, 2**31)
)
def test_scores_are_the_matrix_products_in_double_precision(
    n_features: int, hidden: int, candidates: int, seed: int
) -> None:
    layers, raw = random_layers(n_features, hidden, seed), random_rows(candidates, n_features)
    first, first_bias, second, second_bias, last, last_bias = (values.astype(np.float64) for values in layers)
    one = np.maximum(raw @ first.T + first_bias, 0)
    two = np.maximum(one @ second.T + second_bias, 0)
    tolerance = 1e-5 * (np.abs(two) @ np.abs(last) + np.abs(one) @ np.abs(second).T @ np.abs(last) + 1)
    scores = score_raw(scorer_of(layers), raw)
    assert (scores.shape, scores.dtype) == ((candidates,), np.float32)
    assert (np.abs(scores - (two @ last + last_bias)) <= tolerance).all()


@given(candidates=st.integers(1, 35), data=st.data())
def test_a_score_depends_neither_on_the_place_of_the_candidate_nor_on_the_others(
    candidates: int, data: st.DataObject
) -> None:
    scorer, raw = scorer_of(random_layers(15, 32, 1)), random_rows(candidates, 15)
    alone = np.concatenate([score_raw(scorer, row[None]) for row in raw])
    order = np.array(data.draw(st.permutations(range(candidates))))
    np.testing.assert_array_equal(score_raw(scorer, raw[order]), alone[order])


def test_working_memory_can_be_used_again() -> None:
    scorer, rows = scorer_of(random_layers(15, 30, 2)), random_rows(14, 15)
    work = workspace(scorer, 7)
    for part in (rows[:7], rows[7:], rows[:7]):
        work.rows[:, :15] = part
        score(scorer, work.rows, work.hidden, work.scores)
        np.testing.assert_array_equal(work.scores, score_raw(scorer, part))


def test_a_scorer_is_a_copy_of_the_weights() -> None:
    layers, raw = random_layers(15, 32, 3), random_rows(9, 15)
    scorer = scorer_of(layers)
    before = score_raw(scorer, raw)
    for values in layers:
        values += 1
    np.testing.assert_array_equal(score_raw(scorer, raw), before)
