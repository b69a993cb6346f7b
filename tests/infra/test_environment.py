"""Temporary files lie where no other user of the machine may enter."""

import os
import time
from pathlib import Path

import pytest

from infra.environment import MAX_AGE_S, use_own_temporary_folder
from infra.settings import Settings
from schemas.errors import StorageError


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that a test may set."""
    monkeypatch.setattr(os, "environ", dict(os.environ))


def settings(home: Path, tmp: Path | None = None) -> Settings:
    return Settings(_env_file=None, ers_home=home, ers_tmp=tmp)


def test_temporary_files_lie_in_a_private_folder_of_the_installation(tmp_path: Path) -> None:
    for home, tmp, expected in (
        (tmp_path / "a", None, tmp_path / "a" / "tmp"),
        (tmp_path / "a", tmp_path / "b" / "c", tmp_path / "b" / "c"),
    ):
        for _ in range(2):
            use_own_temporary_folder(settings(home, tmp))
            assert os.environ["TMPDIR"] == str(expected)
            assert expected.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_enter_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(StorageError, match=r"others may enter the folder .* chmod 700, or set ERS_TMP"):
        use_own_temporary_folder(settings(tmp_path, tmp_path))
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/tmp of temporary files cannot be used \(Not a directory\)"):
        use_own_temporary_folder(settings(tmp_path / "file"))


def test_what_killed_processes_left_goes_after_thirty_days(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir(mode=0o700)
    for name in ("old", "new"):
        (folder / name).mkdir()
        (folder / name / "rows").write_text("")
        (folder / f"{name}.file").write_text("")
    for name in ("old", "old.file"):
        os.utime(folder / name, times=(0, time.time() - MAX_AGE_S - 60))
    use_own_temporary_folder(settings(tmp_path))
    assert sorted(path.name for path in folder.iterdir()) == ["new", "new.file"]
