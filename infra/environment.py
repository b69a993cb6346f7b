"""Variables that libraries read when they are imported, for this process and those that it starts."""

import shutil
import time
from pathlib import Path

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


def temporary_folder(home: Path) -> Path:
    """Return the folder of temporary files of this installation, `<home>/tmp`, which nobody else may enter.

    Prefect, MLflow, PyTorch and Dask use fixed names in the common one: whoever is first there keeps other users of
    the machine out, or can read and change what they put there. Entries that killed processes left go after 30 days.

    Raises:
        StorageError: it cannot be made there.
    """
    folder = home.resolve() / "tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        for path in folder.iterdir():
            if path.lstat().st_mtime < time.time() - MAX_AGE_S:
                _remove(path)
    except FileNotFoundError:  # another process removed an entry meanwhile
        pass
    except OSError as error:
        raise StorageError(
            f"ERS_HOME {home} cannot be written ({error.strerror}: {error.filename}): choose another folder"
        ) from error
    return folder


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
