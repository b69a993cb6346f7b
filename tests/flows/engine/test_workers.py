"""Where tasks run side by side: a place that is not there is one line."""

import pytest

from flows.engine import workers
from infra.settings import load_settings
from schemas.errors import ConfigError, ServerError
from tests.support.servers import free_port


def _doubled(job: int) -> int:
    return 2 * job


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect import task

    monkeypatch.setattr(workers, "CONNECT_TIMEOUT", "1s")
    address = f"tcp://127.0.0.1:{free_port()}"
    side_by_side: workers.Workers[int, int] = workers.Workers(task(_doubled), address, 1)
    with pytest.raises(ServerError) as error, side_by_side:
        pass
    assert str(error.value) == f"ERS_TASK_RUNNER: no Dask scheduler answers at {address}; start one, or take processes"


@pytest.mark.parametrize("runner", ["ray", "tcp://", "127.0.0.1:8786", "Threads"])
def test_a_place_that_is_no_place_is_one_line(runner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERS_TASK_RUNNER", runner)
    with pytest.raises(ConfigError, match="settings: ERS_TASK_RUNNER: String should match pattern"):
        load_settings()
