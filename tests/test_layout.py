"""The house: pinned requirements, documented folders, and modules that do nothing when imported."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["packages"]
REQUIREMENTS = ("requirements.txt", "tests/requirements.txt", "tests/requirements-peer.txt", "constraints.txt")
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "migrations" not in path.parts  # Alembic runs these; they are not imported
)

# Opening for writing and connecting, seen by Python's own audit hook; what is left on the disk is looked at after.
WATCH = """
import importlib, os, sys
home = sys.argv[1]
acts = []

def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        mode, flags = arguments[1], arguments[2]
        writes = (mode and set(mode) & set("wax+")) or (flags and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if writes and os.fsdecode(arguments[0]).startswith(home):
            acts.append((event, os.fsdecode(arguments[0])))
    elif event in ("socket.connect", "sqlite3.connect"):
        acts.append((event, repr(arguments[1:] or arguments)))

modules = sys.argv[2:]
sys.addaudithook(watch)
for module in modules:
    acts.clear()
    importlib.import_module(module)
    for act in acts:
        print(module, *act)
"""


def _pins(name: str) -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    found = {}
    for line in filter(None, lines):
        pin = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==([0-9][A-Za-z0-9.]*)(?: ; [^;]+)?", line)
        assert pin, f"{name}: {line!r} is no exact public version"
        found[re.sub(r"[-_.]+", "-", pin[1]).lower()] = pin[2]
    return found


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_each_requirement_is_pinned_once_and_names_no_place(name):
    text = (ROOT / name).read_text()
    assert not re.search(r"https?:|--(extra-)?index-url|--find-links", text)
    assert len(_pins(name)) == sum(bool(line.split("#")[0].strip()) for line in text.splitlines())


@pytest.mark.parametrize("name", REQUIREMENTS[:3])
def test_the_constraints_hold_each_requirement_at_its_version(name):
    constraints = _pins("constraints.txt")
    assert {package: constraints.get(package) for package in _pins(name)} == _pins(name)


def test_prefect_gets_the_versions_it_works_with():
    constraints = _pins("constraints.txt")
    assert constraints["fastapi"] == "0.150.0"
    assert constraints["sqlalchemy"].startswith("2.0.")


@pytest.mark.parametrize("module", MODULES)
def test_each_module_says_what_it_is(module):
    path = ROOT / module.replace(".", "/")
    text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    assert ast.get_docstring(ast.parse(text)), f"{module} has no docstring"


@pytest.mark.slow
def test_importing_a_module_makes_no_file_and_no_connection(tmp_path):
    """All modules in one process, in an empty home and working directory; what libraries do when imported counts."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    environment |= {"HOME": str(tmp_path), "ERS_HOME": str(tmp_path / "var"), "PYTHONPATH": str(ROOT)}
    environment["MLFLOW_DISABLE_TELEMETRY"] = (
        "true"  # as flows.engine.runtime.configure sets it before anything is imported
    )
    done = subprocess.run(
        [sys.executable, "-c", WATCH, str(tmp_path), *(m for m in MODULES if not m.endswith("__main__"))],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    made = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert made <= {".prefect"}  # Prefect makes its empty folder when it is imported
