"""The result as people look at it: two plots and the scores, in a folder of their own."""

import json
import secrets
from pathlib import Path
from typing import Any

SCORES, SCORES_PLOT, TRAINING_PLOT = "scores.json", "scores.png", "training.png"
Curves = dict[str, list[tuple[int, float]]]  # name -> (timesteps done, value)
_COLOURS = {"policy": "#1b7837", "baseline": "#9e9e9e", "bound": "#4575b4"}
_CURVE_LABELS = {
    "reward": "mean reward of a decision",
    "loss": "loss",
    "training_hit_ratio": "hit ratio on the training span",
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
    _replace(folder / SCORES, json.dumps(evaluation, indent=2, allow_nan=False).encode())
    for name, draw, data in ((SCORES_PLOT, _draw_scores, evaluation["test"]), (TRAINING_PLOT, _draw_curves, curves)):
        figure = Figure(figsize=(9, 4.5), layout="constrained")
        draw(figure, algorithm, data)
        _replace_figure(folder / name, figure)
    return folder


def _draw_scores(figure: Any, algorithm: str, test: dict[str, Any]) -> None:
    rows = [(f"{algorithm} (learned)", test["policy"], "policy")]
    rows += [(name, score, "baseline") for name, score in test["baselines"].items()]
    rows += [(f"{name} (knows the future)", score, "bound") for name, score in test["bounds"].items()]
    rows.sort(key=lambda row: row[1]["hit_ratio"])
    axes = figure.subplots()
    bars = axes.barh([r[0] for r in rows], [r[1]["hit_ratio"] for r in rows], color=[_COLOURS[r[2]] for r in rows])
    axes.bar_label(bars, fmt="%.4f", padding=3)
    axes.set_xlim(0, max(r[1]["hit_ratio"] for r in rows) * 1.12)
    axes.set_xlabel("hit ratio on the held-out requests")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_curves(figure: Any, algorithm: str, curves: Curves) -> None:
    known = {name: points for name, points in curves.items() if points}
    for axes, (name, points) in zip(figure.subplots(1, len(known), squeeze=False)[0], known.items(), strict=True):
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, color=_COLOURS["policy"], marker="o" if len(steps) < 20 else "")
        axes.set_title(_CURVE_LABELS.get(name, name), fontsize=10)
        axes.set_xlabel(f"timesteps ({algorithm})")
        axes.ticklabel_format(axis="x", style="plain")
        axes.tick_params(axis="x", labelrotation=30)
        axes.spines[["top", "right"]].set_visible(False)


def _replace_figure(path: Path, figure: Any) -> None:
    from io import BytesIO

    content = BytesIO()
    figure.savefig(content, format="png", dpi=110)
    _replace(path, content.getvalue())


def _replace(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    aside.write_bytes(content)
    aside.replace(path)
