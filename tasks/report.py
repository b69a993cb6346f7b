"""The result as people look at it: two plots and the scores, in a folder of their own."""

import json
from pathlib import Path
from typing import Any

from tasks.files import write_figure, write_whole

SCORES, SCORES_PLOT, TRAINING_PLOT = "scores.json", "scores.png", "training.png"
BAR_INCHES = 0.25
Curves = dict[str, list[tuple[int, float]]]  # name -> (timesteps done, value)
_COLOURS = {"policy": "#1b7837", "baseline": "#9e9e9e", "bound": "#4575b4"}
_MEASURE_LABELS = {"hit_ratio": "hit ratio", "value_ratio": "value of the hits / value of all (cache_weights)"}
_CURVE_LABELS = {
    "reward": "mean reward of a decision",
    "loss": "loss",
    "training_hit_ratio": "hit ratio on the training span",
    "validation_hit_ratio": "hit ratio on its validation part",
    "validation_value_ratio": "value ratio on its validation part",
}


def write_report(folder: Path, algorithm: str, evaluation: dict[str, Any], curves: Curves) -> Path:
    """Write the scores and plots of a run to `folder`, each file whole or not at all; return `folder`.

    Args:
        folder: is made if need be.
        algorithm: name of the learned policy in the plots.
        evaluation: as `learning.describe.evaluation_dict` returns it.
        curves: the metric curves of the training.
    """
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / SCORES, json.dumps(evaluation, indent=2, allow_nan=False).encode())
    bars = 1 + len(evaluation["test"]["baselines"]) + len(evaluation["test"]["bounds"])
    plots = (
        (SCORES_PLOT, _draw_scores, evaluation["test"], 1.5 + BAR_INCHES * bars),
        (TRAINING_PLOT, _draw_curves, curves, 4.5),
    )
    for name, draw, data, height_inches in plots:
        figure = Figure(figsize=(9, height_inches), layout="constrained")
        draw(figure, algorithm, data)
        write_figure(folder / name, figure)
    return folder


def _draw_scores(figure: Any, algorithm: str, test: dict[str, Any]) -> None:
    """Bars by what a hit is worth; where that is not the same for each hit, the hit ratio beside it."""
    rows = [(f"{algorithm} (learned)", test["policy"], "policy")]
    rows += [(name, score, "baseline") for name, score in test["baselines"].items()]
    rows += [(f"{name} (knows the future)", score, "bound") for name, score in test["bounds"].items()]
    rows.sort(key=lambda row: row[1]["value_ratio"] or 0.0)
    weighted = any(score["value_ratio"] != score["hit_ratio"] for _, score, _ in rows)
    measures = ("value_ratio", "hit_ratio") if weighted else ("hit_ratio",)
    figure.suptitle(f"On the {test['policy']['requests']:,} held-out requests", fontsize=11)
    for axes, measure in zip(figure.subplots(1, len(measures), sharey=True, squeeze=False)[0], measures, strict=True):
        values = [score[measure] or 0.0 for _, score, _ in rows]
        bars = axes.barh([name for name, _, _ in rows], values, color=[_COLOURS[kind] for _, _, kind in rows])
        axes.bar_label(bars, fmt="%.4f", padding=3)
        axes.set_xlim(0, 1.05 * max(values) + 0.12 * len(measures) * (max(values) or 1))  # room for the labels
        axes.set_xlabel(_MEASURE_LABELS[measure])
        axes.spines[["top", "right"]].set_visible(False)


def _draw_curves(figure: Any, algorithm: str, curves: Curves) -> None:
    known = {name: points for name, points in curves.items() if points}
    last_step = max((points[-1][0] for points in known.values()), default=1)
    figure.suptitle(f"Training of {algorithm}", fontsize=11)
    for axes, (name, points) in zip(figure.subplots(1, len(known), squeeze=False)[0], known.items(), strict=True):
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, color=_COLOURS["policy"], linewidth=1.2, marker="o" if len(steps) < 20 else "")
        axes.set_title(_CURVE_LABELS.get(name, name), fontsize=10)
        axes.set_xlabel("timesteps")
        axes.set_xlim(-0.03 * last_step, 1.03 * last_step)  # the same for all, also where a curve has one point
        axes.locator_params(axis="x", nbins=4)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.spines[["top", "right"]].set_visible(False)
