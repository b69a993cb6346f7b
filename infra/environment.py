"""Variables that libraries read when they are imported, for this process and those that it starts."""

from pathlib import Path


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
