"""The result as people look at it: the scores and three plots, in a folder of their own."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from learning.evaluation.evaluate import Timeline
from support.atomic import write_atomically
from tasks.reports.figures import write_figure
from tasks.reports.plots import Curves, curves_inches, draw_curves, draw_scores, draw_timeline, scores_inches

SCORES, SCORES_PLOT, TIMELINE_PLOT, TRAINING_PLOT = "scores.json", "scores.png", "timeline.png", "training.png"
PLOTS = (SCORES_PLOT, TIMELINE_PLOT, TRAINING_PLOT)
Draw = Callable[[Any, str, Any], None]


def write_report(folder: Path, algorithm: str, evaluation: dict[str, Any], timeline: Timeline, curves: Curves) -> Path:
    """Write the scores and plots of a run to `folder`, each file whole or not at all; return `folder`.

    Args:
        folder: is made if need be.
        algorithm: name of the learned policy in the plots.
        evaluation: as `learning.describe.evaluation_dict` returns it.
        timeline: of the same evaluation.
        curves: the metric curves of the training; without any there is no plot of them.
    """
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    numbers = {**evaluation, "timeline": asdict(timeline)}
    write_atomically(folder / SCORES, json.dumps(numbers, indent=2, allow_nan=False).encode())
    plots: tuple[tuple[str, Draw, Any, float], ...] = (
        (SCORES_PLOT, draw_scores, evaluation, scores_inches(evaluation)),
        (TIMELINE_PLOT, draw_timeline, numbers, 5.5),
        *(((TRAINING_PLOT, draw_curves, curves, curves_inches(curves)),) if curves else ()),
    )
    for name, draw, data, height_inches in plots:
        figure = Figure(figsize=(9, height_inches), layout="constrained")
        draw(figure, algorithm, data)
        write_figure(folder / name, figure)
    return folder
