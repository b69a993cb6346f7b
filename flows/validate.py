"""Flow `validate`: whether recorded requests can be trained on, as a table of expectations. It trains nothing."""

from typing import Any

from flows.engine.runtime import config_flow
from flows.shared.requests import REPORTS, StepClock, read_recorded
from flows.shared.validation import documented, judged
from infra.database.connection import open_database
from infra.settings import load_settings
from schemas.options.train import ValidateConfig
from tasks.validate.data_docs import text_number


@config_flow(ValidateConfig)
def validate(config: ValidateConfig) -> dict[str, Any]:
    """Check recorded requests, quarantine the invalid ones, and write the data docs."""
    settings, clock = load_settings(), StepClock()
    engine = open_database(settings)
    try:
        rows, _ = read_recorded(engine, config, clock, config.feature_columns)
        with clock.step("validate"):
            report, quarantined = judged(engine, rows, config, config.decision)
            validation = documented(settings.ers_home / REPORTS, report, quarantined)
    finally:
        engine.dispose()
    result = {**validation.as_dict(), "seconds": clock.seconds}
    report.require(result)
    return result


def summary(result: dict[str, Any]) -> str:
    """Return the result of the flow as text: a table of expectations, and where the page is."""
    width = max(len(one["name"]) for one in result["expectations"])
    lines = [f"  {'expectation':<{width}}  level    outcome  failing rows    observed"]
    for one in result["expectations"]:
        outcome = "holds" if one["passed"] else "broken"
        failing, observed = text_number(one["failing_rows"]), text_number(one["observed"])
        lines.append(
            f"  {one['name']:<{width}}  {one['level']:<7}  {outcome:<7}  {failing:>12}  {observed:>10}".rstrip()
        )
    verdict = "can be trained on" if result["passed"] else "cannot be trained on"
    left_out = f", {result['failed']:,} of them left out, in quarantine" if result["failed"] else ""
    return "\n".join([f"{result['checked']:,} rows {verdict}{left_out}:", "", *lines, "", f"report  {result['docs']}"])
