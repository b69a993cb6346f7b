"""MLflow's store fails while a run is logged: one clear line, nothing half-done, and the same call works afterwards."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.settings import Settings
from schemas.errors import StorageError
from tasks.tracking.tracker import Tracker, open_tracker
from tests.faults.mounts import read_only, small_disk

MIB = 2**20


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the artifacts: a file system of 1 MB."""
    folder = tmp_path_factory.mktemp("home") / "mlartifacts"
    folder.mkdir()
    with small_disk(folder, "1m"):
        yield folder


@pytest.fixture(scope="module")
def tracker(artifacts: Path) -> Tracker:
    home = artifacts.parent
    return open_tracker(Settings(_env_file=None, ers_home=home, mlflow_tracking_uri=f"sqlite:///{home}/mlflow.db"))


@pytest.fixture
def run_id(tracker: Tracker) -> str:
    return tracker.start_run("a run", {}, {})


def folder_of(parent: Path, **kib: int) -> Path:
    """A folder of files of so many KiB."""
    parent.mkdir()
    for name, size in kib.items():
        (parent / name).write_bytes(os.urandom(size * 1024))
    return parent


def files(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob("*") if p.is_file()}


def failure(tracker: Tracker, folder: Path, path: str) -> str:
    with pytest.raises(StorageError) as caught:
        tracker.log_artifacts(folder, path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    assert "MLFLOW_TRACKING_URI" in message
    return message


def test_a_full_disk_is_one_line_and_leaves_no_artifact_until_there_is_room(
    tracker: Tracker, run_id: str, artifacts: Path, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "bundle", a=300, b=300)
    ballast = artifacts / "ballast"
    ballast.write_bytes(bytes(MIB - 400 * 1024))  # room for one of the two
    assert "No space left on device" in failure(tracker, folder, "bundle")
    assert files(artifacts) == {"ballast": ballast.stat().st_size}
    ballast.unlink()
    tracker.log_artifacts(folder, "bundle")
    assert [found.path for found in tracker.client.list_artifacts(run_id, "bundle")] == ["bundle/a", "bundle/b"]
    tracker.fail("the test is over")


def test_a_full_disk_leaves_the_artifacts_that_are_there_as_they_are(
    tracker: Tracker, run_id: str, artifacts: Path, tmp_path: Path
) -> None:
    tracker.log_artifacts(folder_of(tmp_path / "first", a=8), "model")
    before = files(artifacts)
    failure(tracker, folder_of(tmp_path / "second", a=8, b=1024), "model")
    assert files(artifacts) == before
    stored = next(artifacts.rglob(f"{run_id}/**/model/a"))
    assert stored.read_bytes() == (tmp_path / "first" / "a").read_bytes()


def test_artifacts_that_cannot_be_written_are_one_line_and_the_run_can_still_be_marked(
    tracker: Tracker, run_id: str, artifacts: Path, tmp_path: Path
) -> None:
    folder, before = folder_of(tmp_path / "bundle", a=8), files(artifacts)
    with read_only(artifacts):
        assert "Read-only file system" in failure(tracker, folder, "report")
        assert files(artifacts) == before
        tracker.fail("read-only")
    assert tracker.client.get_run(run_id).info.status == "FAILED"
    tracker.log_artifacts(folder, "report")
    assert files(artifacts).keys() - before.keys() == {f"{run_id}/artifacts/report/a"}


def test_a_store_in_a_folder_that_is_not_ours_is_one_line(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.write(writing, _without_rights(home).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        message = told.read()
    os.waitpid(child, 0)
    assert message.startswith("StorageError: ")
    assert "\n" not in message
    assert list(home.iterdir()) == []


def _without_rights(home: Path) -> str:
    if os.geteuid() == 0:  # who may write anywhere: take on another user
        os.setuid(65534)
    try:
        open_tracker(Settings(_env_file=None, ers_home=home, mlflow_tracking_uri=f"sqlite:///{home}/mlflow.db"))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "opened"
