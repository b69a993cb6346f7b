"""The set-up finds a Python, or says in one line what is missing."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = "infra/setup.sh"
TOOLS = ("sh", "head", "rm", "mkdir", "touch")
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder that is the whole path of a set-up, with the tools that it uses and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(next(p for p in (Path("/bin") / tool, Path("/usr/bin") / tool) if p.exists()))
    return folder


def add(folder: Path, name: str, script: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def interpreter(*options: str) -> str:
    """A line that runs this Python, apart from its virtual environment."""
    executable = str(Path(sys.base_prefix) / "bin" / f"python{VERSION}")
    return f'{shlex.join(["exec", executable, *options])} "$@"'


def set_up(programs: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", SCRIPT, *words],
        cwd=ROOT,
        env={"PATH": str(programs), "HOME": str(programs.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_machine_without_python_is_told_what_to_install(programs: Path, tmp_path: Path) -> None:
    done = set_up(programs, str(tmp_path / "venv"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: no Python 3.11 to 3.14 was found: install one, name one by make PYTHON=")
    assert "uv" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "venv").exists()


def test_a_python_without_venv_names_the_package_that_has_it(programs: Path, tmp_path: Path) -> None:
    """As Debian and Ubuntu install it."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "ensurepip.py").write_text("raise ImportError")
    python = add(programs, "python3", f"PYTHONPATH={tmp_path}/without {interpreter()}")
    done = set_up(programs, str(tmp_path / "venv"))
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"error: {python} lacks the modules venv and ensurepip: install them (Debian, Ubuntu: "
    )
    assert f"python{VERSION}-venv), or install uv" in done.stderr
    assert set_up(programs, "--pythons").stdout == ""
    add(programs, "uv", "exit 9")  # which needs neither
    assert set_up(programs, "--pythons").stdout == f"{python}\n"


def test_a_python_that_does_not_start_is_passed_over(programs: Path) -> None:
    """As the shims of pyenv for versions that are not chosen."""
    for minor in (14, 13, 12, 11):
        add(programs, f"python3.{minor}", "echo 'pyenv: command not found' >&2; exit 127")
    python = add(programs, "python", interpreter())
    assert set_up(programs, "--pythons").stdout == f"{python}\n"


def test_a_python_of_pyenv_is_found_off_the_path(programs: Path, tmp_path: Path) -> None:
    folder = tmp_path / ".pyenv" / "versions" / f"{VERSION}.99" / "bin"
    folder.mkdir(parents=True)
    python = add(folder, "python", interpreter())
    assert set_up(programs, "--pythons").stdout == f"{python}\n"


def test_a_python_of_another_version_is_refused(programs: Path, tmp_path: Path) -> None:
    python = add(programs, "python3", interpreter().replace('"$@"', "-c 'import sys; sys.exit(1)'"))
    done = set_up(programs, str(tmp_path / "venv"), python)
    assert (done.returncode, done.stderr) == (1, f"error: PYTHON={python} is not a Python 3.11 to 3.14\n")


def test_another_python_given_to_make_begins_the_environment_anew(tmp_path: Path) -> None:
    def installs(*variables: str) -> bool:
        words = ["make", "--dry-run", "setup", f"VENV={tmp_path}", *variables]
        return SCRIPT in subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    (tmp_path / "bin").mkdir()
    same = add(tmp_path / "bin", "python", interpreter())
    other = add(tmp_path, "other", "echo 3 99")
    assert installs()
    (tmp_path / "set-up").write_text("")
    os.utime(tmp_path / "set-up", (2**33, 2**33))
    assert not installs()
    assert not installs(f"PYTHON={same}")
    assert installs(f"PYTHON={other}")


def test_the_versions_of_python_agree_wherever_they_stand() -> None:
    oldest, end = re.findall(
        r"3\.(\d+)", tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    )
    allowed = range(int(oldest), int(end))
    text = (ROOT / SCRIPT).read_text()
    assert f"(3, {allowed[0]}) <= sys.version_info[:2] <= (3, {allowed[-1]})" in text
    assert f">=3.{allowed[0]},<3.{allowed[-1] + 1}" in text
    assert f"for minor in {' '.join(map(str, reversed(allowed)))}; do" in text
    said = f"Python 3.{allowed[0]} to 3.{allowed[-1]}"
    assert said in text
    assert said in (ROOT / "README.md").read_text()
    chosen = yaml.safe_load((ROOT / "python_env.yaml").read_text())["python"]
    image = re.search(r"PYTHON_IMAGE=python:3\.(\d+)\.\d+-", (ROOT / "infra/containers/Dockerfile").read_text())
    assert image
    assert chosen == f"3.{image[1]}"
    assert int(image[1]) in allowed
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tools["ruff"]["target-version"] == f"py3{allowed[0]}"
    assert tools["mypy"]["python_version"] == f"3.{allowed[0]}"
