"""What keeps the stack from starting is one line, and nothing is left running."""

import socket
from pathlib import Path

import pytest

from infra.stack.client_file import FIRST_LINE, remove_client_file, write_client_file
from tests.infra.stack.running import Stack, new_stack


def _refused(stack: Stack, status: int, *words: str, **variables: str) -> str:
    done = stack.command("up", **variables)
    assert (done.status, done.out) == (status, ""), done.err
    error = done.err.splitlines()[-1]
    assert error.startswith("error: ")
    assert all(word in error for word in words), error
    assert stack.processes() == []
    assert not (stack.folder / "prefect.toml").exists()
    return error


def test_a_configured_port_that_is_taken(tmp_path: Path) -> None:
    """By whatever program, a server like these too."""
    stack = new_stack(tmp_path)
    for name in ("ERS_PREFECT_PORT", "ERS_MLFLOW_PORT"):
        with socket.create_server(("127.0.0.1", int(stack.variables[name]))):
            _refused(stack, 2, name, "taken")
    assert "ERS_PREFECT_PORT" in _refused(stack, 2, ERS_PREFECT_PORT="70000")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A file stands where the folder should be: not even root can write there."""
    (tmp_path / "var").write_text("")
    _refused(new_stack(tmp_path), 1, "ERS_HOME", "cannot be written")


def test_an_mlflow_store_that_cannot_be_made(tmp_path: Path) -> None:
    """The Prefect server that was started before is ended."""
    (tmp_path / "file").write_text("")
    _refused(new_stack(tmp_path), 1, "MLflow", MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/file/mlflow.db")


def test_a_part_that_ends_early_tells_the_error_of_its_log(tmp_path: Path) -> None:
    """A file stands where Prefect's worker wants a folder of temporary files; once that of another user did."""
    (tmp_path / "var" / "tmp").mkdir(parents=True)
    (tmp_path / "var" / "tmp").chmod(0o700)
    (tmp_path / "var" / "tmp" / "runner_storage").write_text("")
    error = _refused(new_stack(tmp_path), 1, "the worker ended before it answered: NotADirectoryError: [Errno 20]")
    assert error.endswith(f"its log: {tmp_path}/var/stack/worker.log")


@pytest.mark.parametrize("name", ["PREFECT_API_URL", "MLFLOW_TRACKING_URI"])
def test_a_server_of_the_user_that_does_not_answer(tmp_path: Path, name: str) -> None:
    """None is started in its place, for it holds what was done so far."""
    _refused(new_stack(tmp_path), 1, name, "does not answer", **{name: "http://127.0.0.1:9"})


def test_prefects_own_file_of_the_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what `make up` wrote is written again, and removed."""
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "prefect.toml"
    own.write_text("[logging]\n")
    assert not write_client_file("http://127.0.0.1:4200/api")
    remove_client_file()
    assert own.read_text() == "[logging]\n"
    own.unlink()
    assert write_client_file("http://127.0.0.1:4200/api")
    assert write_client_file("http://127.0.0.1:4201/api")
    assert own.read_text() == f'{FIRST_LINE}\n[api]\nurl = "http://127.0.0.1:4201/api"\n'
    remove_client_file()
    assert list(tmp_path.iterdir()) == []
