"""The table and the plot of a sweep."""

import csv
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from schemas.options.space import parse_space
from tasks.reports.sweep import PLOT, TABLE, draw_trials, write_sweep_report

SPACE = parse_space({"learning_rate": "0.0003..0.01", "feature_columns": "none|a+b", "seed": "0|1"})


def _trial(number: int, state: str, score: float | None, size: str = "as given", reason: str = "") -> dict[str, Any]:
    options = {"learning_rate": 0.001 * (number + 1), "feature_columns": ("a", "b") if number else (), "seed": 1}
    told = {"trial": number, "size": size, "options": options, "state": state, "score": score}
    return {**told, "seconds": 1.5, "run_id": f"r{number}", "reason": reason}


TRIALS = [
    _trial(0, "complete", 0.4, "cache_size=5"),
    _trial(1, "pruned", 0.3, "cache_size=9"),
    _trial(2, "failed", None, "cache_size=9", "no, two, three"),
]


def test_the_table_has_each_trial_with_its_options_and_reason(tmp_path: Path) -> None:
    folder = write_sweep_report(tmp_path / "sweep", SPACE, TRIALS, "hit ratio")
    with (folder / TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["complete", "pruned", "failed"]
    assert [row["feature_columns"] for row in rows] == ["none", "a+b", "a+b"]
    assert [row["score"] for row in rows] == ["0.4", "0.3", ""]
    assert rows[2]["reason"] == "no, two, three"
    assert (folder / PLOT).read_bytes().startswith(b"\x89PNG")


def test_each_option_has_a_panel_with_all_trials_that_have_a_score() -> None:
    figure = Figure()
    draw_trials(figure, SPACE, TRIALS, "hit ratio")
    assert [axes.get_xlabel() for axes in figure.axes] == list(SPACE)
    assert [len(axes.collections) for axes in figure.axes] == [2, 2, 2]
    low, high = figure.axes[0].get_xlim()
    assert low < 0.0003 < 0.01 < high  # both ends of the range show, whatever was tried
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["cache_size=5", "cache_size=9", "complete", "stopped early, the best until then"]
