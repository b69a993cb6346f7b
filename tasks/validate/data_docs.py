"""The outcome of a validation as people look at it: a page, and the numbers as JSON, in a folder of their own."""

import hashlib
import html
import json
from pathlib import Path
from typing import Any

from support.atomic import write_atomically
from tasks.validate.validate import ValidationReport

PAGE, NUMBERS = "index.html", "validation.json"
TEMPLATES = Path(__file__).with_name("templates")
MARKS = {True: "holds", False: "**broken**"}


def write_data_docs(reports: Path, report: ValidationReport) -> Path:
    """Write the page and the numbers, each whole or not at all; return their folder.

    The same outcome has the same folder, so that a repetition adds none. The page loads nothing from the network.

    Args:
        reports: the folder of all reports; is made if need be.
        report: of `validate_rows`.
    """
    numbers = json.dumps(report.as_dict(), indent=2, allow_nan=False).encode()
    folder = reports / "validation" / hashlib.sha256(numbers).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / NUMBERS, numbers)
    write_atomically(folder / PAGE, data_docs(report).encode())
    return folder


def data_docs(report: ValidationReport) -> str:
    """Return the page: each expectation with its outcome, then the sections of Great Expectations' own renderer."""
    import great_expectations.render.view

    gx: Any = great_expectations.render  # its names are not typed as exported
    view = gx.view.DefaultJinjaPageView(custom_views_directory=str(TEMPLATES))
    view.env.filters["number"] = text_number
    document = gx.RenderedDocumentContent(sections=[part for result in report.results for part in _sections(result)])
    page: str = view.render(document, template="validation.html", report=report.as_dict())
    return page


def _sections(result: Any) -> list[Any]:
    """The sections about columns, without the overview and the description of the run."""
    from great_expectations.render.renderer import page_renderer

    renderer: Any = page_renderer.ValidationResultsPageRenderer(run_info_at_end=True)
    sections: list[Any] = renderer.render(result).sections[1:-1]
    for section in sections:
        heading = section.content_blocks[0].header.string_template
        heading["template"] = html.escape(heading["template"])  # the name of a column, which is left as it is
    return sections


def markdown(result: dict[str, Any]) -> str:
    """Return the outcome, as `ValidationReport.as_dict` gives it, as Markdown."""
    said = f"{result['checked']:,} rows checked, {result['failed']:,} of them to be left out."
    compared = f" Drift against {result['compared_with']}." if result["compared_with"] else ""
    rows = [
        f"| {_cell(one['name'])} | {one['level']} | {MARKS[one['passed']]} "
        f"| {text_number(one['failing_rows'])} | {text_number(one['observed'])} |"
        for one in result["expectations"]
    ]
    head = "| expectation | level | outcome | failing rows | observed |\n|---|---|---|--:|--:|"
    return "\n".join([f"{said}{compared}", "", head, *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def text_number(value: object) -> str:
    """Return a count or an observed value for people; nothing for None."""
    if value is None:
        return ""
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
