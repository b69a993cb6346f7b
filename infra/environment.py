"""Variables that libraries read when they are imported, for this process and those that it starts."""

from infra.settings import Settings


def library_variables(settings: Settings) -> dict[str, str]:
    """Return what Prefect, MLflow and OpenMP are to find in the environment, where it says nothing else."""
    variables = {
        "PREFECT_HOME": str(settings.ers_home.resolve() / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "ers.run",  # what flows say belongs to the log of the run
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_WAIT_POLICY": "PASSIVE",  # the networks are small: spinning threads only take time from the others
    }
    if settings.prefect_api_url:
        variables["PREFECT_API_URL"] = settings.prefect_api_url
    return variables
