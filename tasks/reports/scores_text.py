"""What an evaluation comes to, as people read it: the table of scores, sentences that claim what is sure."""

from collections.abc import Iterator
from typing import Any

from tasks.reports.plots import learned_name

MEASURES = ("hit_ratio", "byte_hit_ratio", "saved_load_time_ratio")
NO_INTERVAL = "the held-out requests are too few, or those on which the two differ, to tell how sure that is"


def score_rows(algorithm: str, evaluation: dict[str, Any], weighed: bool) -> list[list[str]]:
    """Return the headings, then a row a policy: its name, its measures and the share of the gap that it closes.

    Args:
        algorithm: that learned the policy.
        evaluation: as `learning.describe.evaluation_dict` returns it.
        weighed: whether hits count differently, so that the value ratio is a measure of its own.
    """
    measures = [*MEASURES]
    if evaluation["test"]["policy"]["stale_ratio"] is not None:
        measures.append("stale_ratio")
    if weighed:
        measures.append("value_ratio")
    rows = [["policy", *(measure.replace("_", " ") for measure in measures), "gap closed"]]
    for name, label, score in _policies(algorithm, evaluation):
        ratios = ["-" if score[measure] is None else f"{score[measure]:.4f}" for measure in measures]
        rows.append([label, *ratios, _share(evaluation["gaps_closed"].get(name))])
    return rows


def _policies(algorithm: str, evaluation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield name, label and score of each policy: the learned ones, the baselines from the best on, the bounds."""
    test = evaluation["test"]
    yield "policy", learned_name(algorithm), test["policy"]
    for name, score in test["variants"].items():
        yield name, learned_name(algorithm, name), score
    for name, score in sorted(test["baselines"].items(), key=lambda row: row[1]["value_ratio"], reverse=True):
        yield name, name, score
    for name, score in test["bounds"].items():
        yield name, f"{name} (knows the future)", score


def _share(closed: float | None) -> str:
    return "" if closed is None else f"{closed:.1%}"


def verdict(evaluation: dict[str, Any]) -> list[str]:
    """Return what `sentences` says of the learned policy, then of each other way to run it."""
    return [sentence for name in evaluation["test"]["comparisons"] for sentence in sentences(evaluation, name)]


def sentences(evaluation: dict[str, Any], name: str = "policy") -> list[str]:
    """Return a sentence for each comparison of the policy `name`, and one for the share of the gap that it closes."""
    best, closed = evaluation["best_baseline"], evaluation["gaps_closed"][name]
    reference = "LRU" if evaluation["reference"] == "lru" else evaluation["reference"]
    who = "the learned policy" if name == "policy" else f"the {name} policy"
    others = evaluation["test"]["comparisons"][name]
    lines = [_compared(who, _whom(other, best), found["value_ratio"]) for other, found in others.items()]
    if closed is not None:
        lines.append(
            f"{_capital(who)} closes {closed:.1%} of the gap from {reference} to the bound, {evaluation['bound']}."
        )
    return lines


def _whom(other: str, best: str) -> str:
    return {best: f"the best baseline in hindsight, {best}", "policy": "the learned policy"}.get(other, other)


def _compared(who: str, whom: str, found: dict[str, Any]) -> str:
    """Return a sentence that claims no more than the interval allows."""
    difference, low, high = found["difference"], found["low"], found["high"]
    if low is None:
        return f"{_capital(who)} is at {difference:+.4f} of {whom}: {NO_INTERVAL}."
    numbers = f"{difference:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}"
    if low > 0:
        return f"{_capital(who)} beats {whom}: {numbers}."
    if high < 0:
        return f"{_capital(who)} does not beat {whom}, it is worse: {numbers}."
    return f"No clear difference between {who} and {whom}: {numbers}."


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def check_lines(checks: list[dict[str, Any]]) -> list[str]:
    """Return a line a check of the gate: whether it holds, its name, and what was found."""
    width = max((len(check["name"]) for check in checks), default=0)
    return [f"  {'yes' if c['passed'] else 'NO ':<3}  {c['name']:<{width}}  {c['detail']}" for c in checks]
