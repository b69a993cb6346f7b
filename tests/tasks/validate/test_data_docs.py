"""The page of a validation shows every expectation and loads nothing from the network."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.drift.psi import profile_of
from tasks.drift.reference import Reference
from tasks.validate.data_docs import NUMBERS, PAGE, markdown, write_data_docs
from tasks.validate.validate import ValidationReport, validate_rows
from tests.tasks.validate.test_validate import rows_of

NASTY = '<script>alert("x")</script> | {{ 7 * 7 }}'


@pytest.fixture(scope="module")
def report() -> ValidationReport:
    """One row that is invalid, one drift, and a column with a nasty name."""
    rows = rows_of(load_time_ms=np.where(np.arange(2_000) == 7, -1.0, 1.0)).rename(columns={"wind": NASTY})
    rows.attrs["feature_columns"] = (NASTY,)
    return validate_rows(rows, reference=Reference("model 7", profile_of(rows_of(), ())))


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory) -> Path:
    return write_data_docs(tmp_path_factory.mktemp("reports"), report)


class Page(HTMLParser):
    """Collects the tags, their links and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str | None] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "data", "action")]

    def handle_data(self, data):
        self.text += f"{data} "


def test_the_page_has_every_expectation_and_the_failing_row(folder, report):
    page = Page((folder / PAGE).read_text())
    for check in report.checks:
        assert check.name in page.text
    assert "broken" in page.text
    assert "model 7" in page.text
    assert "1 unexpected values found" in " ".join(page.text.split())  # as Great Expectations tells it
    assert re.search(r"-1\.0\s+1\s+107\b", page.text)  # value, how often, id


def test_the_page_needs_no_network_and_runs_no_script(folder):
    text = (folder / PAGE).read_text()
    page = Page(text)
    assert page.links == []
    assert page.tags.isdisjoint({"script", "link", "iframe", "img"})
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert "Content-Security-Policy" in text


def test_a_name_of_a_column_is_text_and_no_markup(folder):
    page = Page((folder / PAGE).read_text())
    assert f"{NASTY} is finite" in page.text


def test_the_same_outcome_has_the_same_folder_and_nothing_half_written(folder, report):
    before = sorted(path.name for path in folder.iterdir())
    assert write_data_docs(folder.parents[1], report) == folder
    assert sorted(path.name for path in folder.iterdir()) == before == sorted([PAGE, NUMBERS])
    assert len(list(folder.parent.iterdir())) == 1
    assert json.loads((folder / NUMBERS).read_text()) == report.as_dict()


def test_markdown_is_a_table_with_a_row_for_each_expectation(report):
    lines = markdown(report.as_dict()).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(report.checks)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}
    assert lines[0] == "2,000 rows checked, 1 of them to be left out. Drift against model 7."


def test_no_rows_are_no_obstacle(tmp_path):
    rows = rows_of(size_bytes=pd.array([-1] * 2_000, "Int64"))
    assert (write_data_docs(tmp_path, validate_rows(rows)) / PAGE).exists()
