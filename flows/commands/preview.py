"""Command `preview`: what a file of requests would become, before anything is written."""

from dataclasses import asdict
from typing import Any

from infra.settings import load_settings
from schemas.options.train import PreviewConfig
from tasks.ingest.preview import present_table, preview_source

MOST_SHOWN_CHARS = 100
LEFT_OUT = {"rejected_rows": "broken lines", "skipped_rows": "not cacheable"}


def preview(config: PreviewConfig) -> dict[str, Any]:
    """Read the first rows of a file as `ingest` would; write nothing."""
    return asdict(preview_source(config, present_table(load_settings().database_url)))


def summary(result: dict[str, Any]) -> str:
    """Return the result of `preview` as text."""
    known = "" if result["total_rows"] is None else f" of {result['total_rows']:,}"
    span = f", {result['first_moment']} to {result['last_moment']}" if result["rows"] else ""
    lines = [f"{result['name']}: {result['format']}", f"requests   {result['rows']:,}{known}{span}"]
    left_out = [f"{what} {result[name]:,}" for name, what in LEFT_OUT.items() if result[name]]
    if left_out:
        lines += [f"left out   {', '.join(left_out)}", *(f"  {told}" for told in result["first_rejections"])]
    if result["too_many_rejected"]:
        lines.append("           too many broken lines: ingest would refuse the file; is the format right?")
    if result["columns"]:
        matched = ", ".join(f"{target} = {name}" for target, name in result["columns"].items())
        lines.append(f"columns    {matched}")
    if result["left_out_columns"]:
        lines.append(f"no place   {', '.join(result['left_out_columns'])}: the table has no such columns")
    missing = ", ".join(f"{name} {share:.1%}" for name, share in result["missing_shares"].items())
    rules = ", ".join(result["rules"]) or "no rules"
    lines.append(f"unknown    {missing}")
    lines.append(
        f"objects    {result['distinct_objects_before']:,} different, {result['distinct_objects']:,} by {rules}"
    )
    for before, after in result["first_changes"].items():
        lines += [f"  {_cut(before)}", f"    becomes {_cut(after)}"]
    lines += ["first rows", *(f"  {_row(row)}" for row in result["first_rows"])]
    return "\n".join(line if line.isprintable() else repr(line) for line in lines)  # a file may hold anything


def _row(row: dict[str, Any]) -> str:
    """The moment, the key, and what else is known of a request."""
    others = {name: value for name, value in row.items() if name not in ("timestamp", "cache_key")}
    known = " ".join(f"{name}={_cut(value)}" for name, value in others.items() if value is not None)
    return f"{row['timestamp']}  {_cut(row['cache_key'])}  {known}"


def _cut(value: object) -> str:
    text = str(value)
    return text if len(text) <= MOST_SHOWN_CHARS else f"{text[:MOST_SHOWN_CHARS]}..."
