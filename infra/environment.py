"""Variables that libraries read when they are imported, for this process and those that it starts."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from infra.settings import Settings
from schemas.errors import StorageError

MAX_AGE_S = 30 * 86_400


def library_variables(home: Path) -> dict[str, str]:
    """Return what Prefect, MLflow and OpenMP are to find in the environment; `home` is the folder of all state."""
    return {
        "PREFECT_HOME": str(home.resolve() / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "ers.run",  # what flows say belongs to the log of the run
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_WAIT_POLICY": "PASSIVE",  # the networks are small: spinning threads only take time from the others
    }


def use_own_temporary_folder(settings: Settings) -> None:
    """Let this process, and those that it starts, keep temporary files where no other user of the machine may enter.

    Prefect, MLflow, PyTorch and Dask use fixed names in the common folder: whoever is first there keeps others out, or
    can read and change what they put there. Entries that killed processes left go after 30 days.

    Raises:
        StorageError: the folder cannot be made, is another user's, or lets others in.
    """
    folder = (settings.ers_tmp or settings.ers_home / "tmp").resolve()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix" and folder.stat().st_mode & 0o077:
            raise StorageError(f"others may enter the folder {folder} of temporary files: chmod 700, or set ERS_TMP")
        for path in folder.iterdir():
            with suppress(FileNotFoundError):  # another process removed it meanwhile
                if path.lstat().st_mtime < time.time() - MAX_AGE_S:
                    _remove(path)
    except OSError as error:
        raise StorageError(
            f"the folder {folder} of temporary files cannot be used ({error.strerror}): set ERS_TMP to another one"
        ) from error
    os.environ["TMPDIR"] = str(folder)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
