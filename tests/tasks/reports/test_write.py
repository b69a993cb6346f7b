"""The report: every number in it is the evaluation's, and the plots draw what they say."""

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from cachesim.eviction.decisions import oldest_first
from cachesim.features.table import FEATURES
from cachesim.traffic.energy import energy_trace
from learning.describe import evaluation_dict
from learning.evaluation.evaluate import Evaluation, evaluate
from learning.problem import build_problem
from schemas.options.train import TrainConfig
from tasks.reports.plots import COLOURS, VARIANT_COLOURS, draw_scores, draw_timeline
from tasks.reports.write import write_report

CURVES = {"reward": [(0, 0.1), (100, 0.2)], "loss": [(100, 1.0)]}


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Sampled LRU for saved load time, with two variants: one that never hits, one that always does."""
    config = TrainConfig(cache_size=50, cache_weights={"load_time_ms": 1.0})
    problem = build_problem(energy_trace(3_000, seed=2), config)
    variants = {"online": lambda: np.ones(3_000, np.bool_), "guarded": lambda: np.zeros(3_000, np.bool_)}
    return evaluate(problem, oldest_first(len(FEATURES)), 0, variants)


def drawn(draw: Any, data: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(9, 6), layout="constrained")
    draw(figure, "a2c", data)
    return figure


def test_the_scores_file_is_the_evaluation_with_its_timeline(tmp_path: Path, evaluation: Evaluation) -> None:
    folder = write_report(tmp_path / "report", "a2c", evaluation_dict(evaluation), evaluation.timeline, CURVES)
    assert sorted(path.name for path in folder.iterdir()) == [
        "scores.json",
        "scores.png",
        "timeline.png",
        "training.png",
    ]
    found = json.loads((folder / "scores.json").read_text())
    timeline = json.loads(json.dumps(dataclasses.asdict(evaluation.timeline)))
    assert found == {**json.loads(json.dumps(evaluation_dict(evaluation))), "timeline": timeline}
    for plot in folder.glob("*.png"):
        assert matplotlib.image.imread(plot)[..., :3].std() > 0.01


def test_every_policy_has_a_bar_of_its_ratio_and_the_learned_ones_a_whisker(evaluation: Evaluation) -> None:
    data = evaluation_dict(evaluation)
    figure = drawn(draw_scores, data)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]  # shared
    for axes, measure in zip(figure.axes, ("value_ratio", "hit_ratio"), strict=True):
        bars = dict(zip(labels, axes.patches, strict=True))
        assert bars["lru"].get_width() == data["test"]["baselines"]["lru"][measure]
        assert bars["a2c (online)"].get_width() == 1.0
        assert len(bars) == 3 + len(evaluation.baselines) + len(evaluation.bounds)
        whiskers = [line for line in axes.lines if line.get_marker() == "|"]
        best = evaluation.best_baseline
        assert len(whiskers) == 3
        ends = data["test"]["comparisons"]["policy"][best][measure]
        reference = data["test"]["baselines"][best][measure]
        assert list(whiskers[0].get_xdata()) == [reference + ends["low"], reference + ends["high"]]


def test_no_whisker_is_drawn_where_there_is_no_interval(evaluation: Evaluation) -> None:
    data = copy.deepcopy(evaluation_dict(evaluation))
    for found in data["test"]["comparisons"]["policy"][evaluation.best_baseline].values():
        found["low"] = found["high"] = None
    axes = drawn(draw_scores, data).axes[0]
    assert sum(line.get_marker() == "|" for line in axes.lines) == 2


def test_the_timeline_shows_each_policy_in_its_colour_and_the_differences_to_the_best(evaluation: Evaluation) -> None:
    data = {**evaluation_dict(evaluation), "timeline": dataclasses.asdict(evaluation.timeline)}
    figure = drawn(draw_timeline, data)
    upper, lower = figure.axes
    colours = {str(line.get_label()).split("  ")[0]: line.get_color() for line in upper.lines}
    best = evaluation.best_baseline
    assert best != "lru"
    assert colours == {
        "a2c (learned)": COLOURS["policy"],
        "a2c (online)": VARIANT_COLOURS[0],
        "a2c (guarded)": VARIANT_COLOURS[1],
        best: COLOURS["best"],
        "lru": COLOURS["baseline"],
    }
    ratios = evaluation.timeline.value_ratios
    expected = np.subtract(ratios["policy"], ratios[best])
    np.testing.assert_allclose(np.asarray(lower.lines[-1].get_ydata(), float), expected)
