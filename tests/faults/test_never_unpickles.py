"""Nothing that judges, promotes or exports a policy unpickles: no class is looked up by name in any file of a bundle.

The commands run in a process whose unpicklers are watched by Python's audit hook. The one exception is numba's cache of
compiled kernels, which is pickled, as are objects inside such a kernel; it lies beside the code, is written by this
machine alone, and comes with no bundle. It is told by the three functions of numba that read it being at work.
"""

from pathlib import Path
from typing import Any

import pytest

from infra.settings import Settings
from schemas.options.train import TrainConfig
from tests.faults.forks import Forks
from tests.faults.unpickling import WAYS_TO_UNPICKLE
from tests.flows.running import versions
from tests.learning.conftest import hot_requests
from tests.learning.promotion.judged_bundles import make_bundle
from tests.tasks.registry.stores import Stores, settings_of

pytestmark = pytest.mark.slow

EASY = ("--source", "none", "--min-improvement", "-1", "--by-interval", "false", "--json")


@pytest.fixture(scope="module")
def settings(forks: Forks, requests_parquet: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Recorded requests, and two versions with the same policy, whose bundles are in MLflow only."""
    home = tmp_path_factory.mktemp("watched")
    settings, stores = settings_of(home).model_copy(update={"ers_exports": home}), Stores(home)
    bundle = make_bundle(tmp_path_factory.mktemp("bundles") / "b", hot_requests(), TrainConfig(cache_size=60)).folder
    for _ in range(2):
        stores.register(stores.train(), bundle)
        stores.tracker.finish()
    stores.engine.dispose()
    assert sorted(versions(home)) == [1, 2]
    ingested = forks.run("command", settings, "ingest", "--source", str(requests_parquet))
    assert (ingested.error, ingested.result) == ("", 0)
    return settings


def watched(forks: Forks, settings: Settings, *commands: tuple[str, ...]) -> dict[str, Any]:
    outcome = forks.run("watched", settings, *commands)
    assert outcome.error == ""
    found: dict[str, Any] = outcome.result
    return found


def test_judging_promoting_exporting_and_rolling_back_look_up_no_class(forks: Forks, settings: Settings) -> None:
    done = watched(
        forks,
        settings,
        ("promote", "--version", "1", *EASY),
        ("promote", "--version", "2", *EASY),
        ("evaluate", "--source", "none", "--json"),
        ("export", "--into", "copy"),
        ("rollback",),
        ("reconcile",),
    )
    assert done["statuses"] == [0] * 6, forks.errors()[-3000:]
    assert done["looked_up"] == []


def test_whatever_unpickles_is_seen(forks: Forks, settings: Settings, tmp_path: Path) -> None:
    outcome = forks.run("unpickled", settings, str(tmp_path))
    assert outcome.error == ""
    assert set(outcome.result) == set(WAYS_TO_UNPICKLE)
    for way, seen in outcome.result.items():
        assert any(name.startswith("tests.faults.unpickling.Planted from ") for name in seen), way
