"""The result of `train` as text: the scores, the verdict with its intervals, where to look. `evaluate` shares most."""

import sys
from pathlib import Path
from typing import Any

from flows.engine.run_page import plots
from learning.problem import CacheProblem
from tasks.reports.scores_text import score_rows, verdict
from tasks.tracking.descriptions import scores_markdown


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text: the table of scores, the verdict, and the paths to look at."""
    said = [*verdict(result), *_staleness(result), *_seeds(result)]
    return "\n".join([_heading(result), "", *table_lines(result), "", *said, "", *_paths(result)])


def page(result: dict[str, Any]) -> str:
    """Return the result of the flow as Markdown, with the plots."""
    return scores_page(result, _heading(result), [*_staleness(result), *_seeds(result)], _paths(result))


def scores_page(result: dict[str, Any], heading: str, remarks: list[str], paths: list[str]) -> str:
    """Return scores as Markdown: what was judged, the verdict, all policies, the plots of the report, the paths."""
    scores = scores_markdown(result["algorithm"], result, _is_weighed(result))
    return "\n\n".join([heading, scores, *remarks, *plots(result["report"]), "```\n" + "\n".join(paths) + "\n```"])


def shown_problem(problem: CacheProblem) -> dict[str, Any]:
    """Return what the result of a flow says of a problem: the cache, the decision, and the columns that are read."""
    setting = problem.setting
    return {
        "cache": {problem.served_capacity.unit: problem.served_capacity.limit},
        "decision": {
            "name": setting.decision if setting else "eviction",
            "eviction": setting.eviction if setting else None,
            "staleness_weight": problem.staleness_weight,
        },
        "feature_columns": list(problem.feature_columns),
    }


def cache_words(result: dict[str, Any]) -> str:
    """Return which cache was judged, as the end of a sentence."""
    unit, limit = next(iter(result["cache"].items()))
    return f"cache of {limit:,} {unit}{_sample(result)}{_decision(result['decision'])}"


def _heading(result: dict[str, Any]) -> str:
    data = result["data"]
    held_out = data["requests"] - data["training_requests"]
    return (
        f"Scores on the last {held_out:,} of {data['requests']:,} requests ({data['distinct_keys']:,} distinct keys), "
        f"{cache_words(result)}:"
    )


def _decision(decision: dict[str, Any]) -> str:
    if decision["name"] == "eviction":
        return ""
    weight = f", staleness weight {decision['staleness_weight']:g}" if decision["name"] == "ttl" else ""
    return f", decision {decision['name']} with eviction by {decision['eviction']}{weight}"


def _sample(result: dict[str, Any]) -> str:
    return "" if result["key_sample"] == 1 else f", scaled down to {result['key_sample']:g} of the keys"


def table_lines(result: dict[str, Any]) -> list[str]:
    """Return a line a policy: its measures, what decides among them last, and the share of the gap that it closes."""
    headings, *rows = score_rows(result["algorithm"], result, _is_weighed(result))
    width = max(len(label) for label, *_ in (headings, *rows))
    lines = [
        f"  {label:<{width}}  "
        + "  ".join(f"{cell:>{len(head)}}" for cell, head in zip(cells, headings[1:], strict=True))
        for label, *cells in (headings, *rows)
    ]
    return [line.rstrip() for line in lines]


def _is_weighed(result: dict[str, Any]) -> bool:
    return bool(result["cache_weights"] or result["decision"]["staleness_weight"])


def _staleness(result: dict[str, Any]) -> list[str]:
    """Say whether the times to live of `hybrid` kept to the budget on later requests."""
    found = result["staleness"]
    if found is None:
        return []
    shares = {name: one["stale_ratio"] for name, one in found["by_endpoint"].items() if one["stale_ratio"] is not None}
    if not shares:
        return [f"Staleness budget {found['budget']:g}: no endpoint has a hit with the times to live that keep to it."]
    worst = max(shares, key=shares.__getitem__)
    kept = sum(share <= found["budget"] for share in shares.values())
    return [
        f"Staleness budget {found['budget']:g}: kept by {kept} of {len(shares)} endpoints with hits on the held-out "
        f"requests; the most has {worst}, {shares[worst]:.4f}. Under the same times to live LRU hits "
        f"{found['lru']['hit_ratio']:.4f}."
    ]


def _seeds(result: dict[str, Any]) -> list[str]:
    seeds = result["seeds"]
    if seeds is None:
        return []
    each = ", ".join(f"{run['seed']}: {run['test']:.4f}" for run in seeds["runs"])
    mean, sd = seeds["test"]["mean"], seeds["test"]["sd"]
    why = "the first" if seeds["validation"]["mean"] is None else "the best in validation"
    return [f"Seeds: {mean:.4f} +- {sd:.4f} ({each}); kept is {seeds['kept']}, {why}."]


def _paths(result: dict[str, Any]) -> list[str]:
    model = result["model"]
    return [
        f"model   {model['name']} version {model['version']} (stage {model['stage']}), MLflow run {result['run_id']}",
        f"bundle  {result['bundle']}",
        f"report  {result['report']}",
        f"look    {where_to_look(result['tracking_uri'])}",
    ]


def where_to_look(tracking_uri: str) -> str:
    """Return the address of MLflow, or the command that shows its store."""
    if tracking_uri.startswith(("http://", "https://")):
        return tracking_uri
    return f"{Path(sys.executable).with_name('mlflow')} ui --backend-store-uri {tracking_uri}"
