"""What people read about a run, a registered version and a registered model in MLflow, as markdown.

All of it comes from the `metadata.json` of the bundle, so it can be written again at any time, and says the same.
"""

from typing import Any

from schemas.bundle import BundleMetadata, Span
from schemas.options.train import Decision
from tasks.reports.scores_text import score_rows, sentences, verdict

MAX_FEATURES_NAMED = 30
SHOWN_FINGERPRINT = 12  # characters, enough to tell data apart
DECIDES: dict[Decision, str] = {
    "eviction": "which object leaves a full cache",
    "admission": "whether what was fetched enters the cache",
    "ttl": "how long what was fetched is served from the cache",
}


def version_description(metadata: BundleMetadata) -> str:
    """Return what a version is and how well it did: the learned policy, as frozen in the bundle."""
    found: dict[str, Any] = metadata.evaluation
    said = sentences(found) if found else ["It was not evaluated."]
    return "\n".join([_title(metadata), "", *_list([*_ratios(metadata), *said]), "", *_facts(metadata)])


def run_description(metadata: BundleMetadata) -> str:
    """Return the result of a run: the verdict, and a table of all policies on the held-out requests."""
    found: dict[str, Any] = metadata.evaluation
    if not found:
        return _title(metadata)
    scores = scores_markdown(metadata.algorithm, found, _is_weighed(metadata))
    return "\n".join([_title(metadata), "", scores, "", *_facts(metadata)])


def scores_markdown(algorithm: str, evaluation: dict[str, Any], weighed: bool) -> str:
    """Return the verdict of an evaluation as a list, and a table of all policies, see
    `tasks.reports.scores_text.score_rows`.
    """
    headings, *rows = score_rows(algorithm, evaluation, weighed)
    table = [_row(headings), _row(["---", *["--:"] * (len(headings) - 1)]), *map(_row, rows)]
    return "\n".join([*_list(verdict(evaluation)), "", *table])


def model_description(decision: Decision) -> str:
    """Return what all versions of a registered model have in common."""
    return (
        f"Policies that decide {DECIDES[decision]}, learned by ers-ml-trainer. The input is raw features by name, in "
        "any order; the output is scores, of which the highest is taken. The alias `champion` and the stage "
        "`Production` name the version in use."
    )


def version_tags(metadata: BundleMetadata) -> dict[str, str]:
    """Return what versions are searched by."""
    return {
        "decision": metadata.decision,
        "algorithm": metadata.algorithm,
        "capacity": _capacity(metadata),
        "data_fingerprint": metadata.data.fingerprint,
    }


def _title(metadata: BundleMetadata) -> str:
    data = metadata.data
    held_out = data.requests - data.training.requests
    return (
        f"**{metadata.algorithm.upper()} decides {DECIDES[metadata.decision]} of {_capacity(metadata)}.** Trained "
        f"{metadata.created_at:%Y-%m-%d} on {data.training.requests:,} requests, judged on the {held_out:,} after them."
    )


def _ratios(metadata: BundleMetadata) -> list[str]:
    """Return the ratios of the learned policy on the held-out requests; what the hits are worth first."""
    if not metadata.evaluation:
        return []
    found: dict[str, Any] = metadata.evaluation
    names = ("value_ratio", "hit_ratio") if _is_weighed(metadata) else ("hit_ratio",)
    known = {name.replace("_", " "): found["test"]["policy"][name] for name in names}
    return [f"{name.capitalize()} {value:.4f}." for name, value in known.items() if value is not None]


def _facts(metadata: BundleMetadata) -> list[str]:
    names = [feature.name for feature in metadata.features]
    more = f" and {len(names) - MAX_FEATURES_NAMED} more" if len(names) > MAX_FEATURES_NAMED else ""
    data, sample = metadata.data, metadata.data.key_sample
    rows = {
        "Data": f"{data.requests:,} requests for {data.distinct_keys:,} keys, {_span(data)}, fingerprint "
        f"`{data.fingerprint[:SHOWN_FINGERPRINT]}`{'' if sample == 1 else f', {sample:g} of the keys'}",
        "Objective": _objective(metadata),
        "Features": f"{len(names)}: {', '.join(names[:MAX_FEATURES_NAMED])}{more}",
        "Seed": str(metadata.seeds["training"]) if "training" in metadata.seeds else "unknown",
    }
    return ["| | |", "|---|---|", *(_row([name, text]) for name, text in rows.items())]


def _span(span: Span) -> str:
    return f"{span.first_timestamp:%Y-%m-%d %H:%M} to {span.last_timestamp:%Y-%m-%d %H:%M} UTC"


def _objective(metadata: BundleMetadata) -> str:
    weights = ", ".join(f"{name}={weight:g}" for name, weight in metadata.objective.items())
    worth = f"a hit is worth {weights}" if weights else "every hit counts 1"
    stale = metadata.actions.staleness_weight if metadata.actions else 0
    return f"{worth}, a stale one costs {stale:g} of it" if stale else worth


def _is_weighed(metadata: BundleMetadata) -> bool:
    return bool(metadata.objective or (metadata.actions and metadata.actions.staleness_weight))


def _capacity(metadata: BundleMetadata) -> str:
    return f"{metadata.capacity.limit:,} {metadata.capacity.unit}"


def _list(lines: list[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
