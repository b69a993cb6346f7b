"""The flows `retrain` and `monitor` on one home, night after night: what each finds, does and says.

What happens to the home is a chain of fixtures, each of which asks for the one before it; a test relies on the fixtures
that it names, and so does not depend on which other tests ran.
"""

import json
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.flows.running import MODEL, CommandLine, Done, eventually, rows, select

pytestmark = pytest.mark.slow

NIGHT = 12_000  # requests
START_S = 1_700_000_000
DRIFT_OPTIONS = ("--false-alarm-rate", 0.1)  # so that 19 windows are enough
OPTIONS = (
    *("--min-new-requests", 5_000, "--timesteps", 4_000, "--feature-columns", "ttl_s", "--json"),
    *DRIFT_OPTIONS,
)


def record(folder: Path, night: int, turned: bool = False) -> Path:
    """Write the requests of a night: a popular core, and keys that are asked for a few times in a row and never again.

    `ttl_s` tells which of the two a key is of. Where it has turned it tells the opposite, and loading takes longer.
    """
    rng = np.random.default_rng(night)
    passing = 1_000 + night * NIGHT + np.arange(NIGHT) // 5
    is_core = rng.random(NIGHT) < 0.6
    key = np.where(is_core, rng.zipf(1.2, NIGHT) % 500, passing)
    columns = {
        "timestamp": START_S + night * 20_000 + np.arange(NIGHT) + rng.random(NIGHT) / 2,
        "cache_name": ["requests"] * NIGHT,
        "cache_key": key.astype(str),
        "size_bytes": 100 + key * 37 % 900,
        "load_time_ms": (2.0 if turned else 1.0) * (1.0 + key * 13 % 50),
        "ttl_s": np.where(is_core != turned, 100.0, 1.0),
    }
    path = folder / f"night-{night}.parquet"
    pd.DataFrame(columns).to_parquet(path)
    return path


class Service:
    """A home in which requests are recorded, and in which `retrain` and `monitor` run."""

    def __init__(self, command_line: CommandLine, home: Path) -> None:
        self.home, self._command_line = home, command_line

    def __call__(self, *words: object) -> Done:
        return self._command_line(self.home, *words)

    def retrain(self, *words: object) -> Done:
        return self("retrain", *OPTIONS, *words)

    def monitor(self) -> Done:
        return self("monitor", *DRIFT_OPTIONS, "--json")

    def record(self, night: int, turned: bool = False) -> None:
        assert self("ingest", "--source", record(self.home, night, turned)).status == 0

    def artifact(self, key: str) -> str:
        """Return the newest artifact of a key, of this server."""
        request = urllib.request.Request(f"{self._command_line.variables['PREFECT_API_URL']}/artifacts/{key}/latest")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.loads(answer.read())["data"])

    def drift_events(self, expected: int) -> list[dict[str, Any]]:
        """Return the events of this kind that the server has, once there are as many as expected."""
        found: list[dict[str, Any]] = []

        def has_come() -> bool:
            wanted = {"filter": {"event": {"name": ["ers.drift"]}}}
            url = f"{self._command_line.variables['PREFECT_API_URL']}/events/filter"
            headers = {"Content-Type": "application/json"}
            with urllib.request.urlopen(urllib.request.Request(url, json.dumps(wanted).encode(), headers)) as answer:
                found[:] = json.loads(answer.read())["events"]
            return len(found) >= expected

        eventually(has_come)
        return found

    def stages(self) -> dict[int, str]:
        return dict(select(self.home, "SELECT version, stage FROM rl_models"))

    def events(self) -> list[tuple[str, int]]:
        return select(self.home, "SELECT event, version FROM rl_model_events WHERE version IS NOT NULL ORDER BY id")


@pytest.fixture(scope="module")
def service(command_line: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> Service:
    return Service(command_line, tmp_path_factory.mktemp("service"))


@pytest.fixture(scope="module")
def empty(service: Service) -> tuple[Done, Done]:
    """Nothing is recorded yet."""
    return service.retrain(), service.monitor()


@pytest.fixture(scope="module")
def too_few(empty: object, service: Service) -> Done:
    """A night is recorded, and more is asked for."""
    service.record(0)
    return service.retrain("--min-new-requests", NIGHT + 1)


@pytest.fixture(scope="module")
def first(too_few: object, service: Service) -> dict[str, Any]:
    """The first training, for a cache of 100 objects."""
    return service.retrain("--cache-size", 100).result


@pytest.fixture(scope="module")
def repeated(first: object, service: Service) -> dict[str, Any]:
    """The same once more."""
    return service.retrain().result


@pytest.fixture(scope="module")
def steady(repeated: object, service: Service) -> tuple[dict[str, Any], Done]:
    """A night as the one before."""
    service.record(1)
    return service.monitor().result, service.retrain()


@pytest.fixture(scope="module")
def worse(steady: object, service: Service) -> Done:
    """A policy that has learned from a single decision."""
    return service.retrain("--always", "--timesteps", 1, "--validation-fraction", 0)


@pytest.fixture(scope="module")
def watched(worse: object, service: Service) -> tuple[Done, str]:
    """A night in which things have turned; and the artifact about it."""
    service.record(2, turned=True)
    return service.monitor(), service.artifact("monitor-result")


@pytest.fixture(scope="module")
def turned(watched: object, service: Service) -> tuple[Done, str]:
    """A retrain after it; and the artifact about it."""
    return service.retrain("--max-queries", NIGHT), service.artifact("retrain-result")


def test_an_empty_table_is_nothing_to_do(empty: tuple[Done, Done]) -> None:
    retrained, monitored = (done.result for done in empty)
    assert retrained["why"] == "nothing to do: 0 new requests: at least 5,000 are needed"
    assert (retrained["version"], retrained["promoted"], retrained["trained"]) == (None, False, None)
    assert monitored["drifted"] is False
    assert monitored["report"] is None
    assert set(monitored["untold"].values()) == {"no version is in Production: there is nothing to compare with"}


def test_too_few_requests_are_nothing_to_do(too_few: Done) -> None:
    assert too_few.result["why"] == "nothing to do: 12,000 new requests: at least 12,001 are needed"
    assert too_few.err.splitlines()[-1] == f"why     {too_few.result['why']}"


def test_where_none_is_in_production_one_is_trained_and_promoted(first: dict[str, Any], service: Service) -> None:
    assert first["why"] == "no version is in Production yet"
    assert (first["champion"], first["version"], first["promoted"]) == (None, 1, True)
    assert first["promotion"]["opponent"] == "lru"
    assert first["trained"]["data"]["requests"] == NIGHT
    assert first["trained"]["data"]["training_requests"] == int(0.6 * NIGHT)
    assert first["trained"]["data"]["watermark"] == select(service.home, "SELECT data_watermark FROM rl_models")[0][0]


def test_a_second_retrain_finds_nothing_new(first: dict[str, Any], repeated: dict[str, Any]) -> None:
    assert repeated["why"].startswith(f"nothing to do: 0 new requests since {MODEL} version 1 was trained")
    assert repeated["since"] == first["trained"]["data"]["watermark"]
    assert repeated["version"] is None


def test_without_drift_it_says_so_and_does_nothing(steady: tuple[dict[str, Any], Done]) -> None:
    monitored, done = steady
    assert done.result["why"] == f"nothing to do: no drift from the data of {MODEL} version 1"
    assert (done.result["new_requests"], done.result["version"]) == (NIGHT, None)
    assert monitored["drifted"] is False
    assert done.result["drift"] == {name: monitored[name] for name in done.result["drift"]}
    tested = monitored["tested"]
    assert tested["features"]["reference_windows"] == tested["hit ratio"]["reference_windows"] == 19
    assert tested["hit ratio"]["told_by"] == "replayed"
    assert min(one["p_value"] for one in tested["features"]["statistics"].values()) > 0.05


def test_a_worse_policy_is_refused_and_the_champion_stays(worse: Done, service: Service) -> None:
    result = worse.result  # status 0: a night in which the gate refused something worse has done its work
    assert (result["version"], result["promoted"], result["champion"]) == (2, False, 1)
    assert result["promotion"]["refused"].startswith(f"{MODEL} version 2 does not pass the gate, version 1 stays: ")
    assert result["promotion"]["difference"]["value_ratio"]["difference"] < 0
    assert f"{MODEL}: version 2 was not promoted" in worse.err


def test_what_retrain_trains_is_judged_on_later_requests_than_it_or_the_champion_learned_from(
    worse: Done, turned: tuple[Done, str]
) -> None:
    for done in (worse, turned[0]):
        assert done.result["promotion"]["judged"]["later_than_training"] is True
        assert done.result["promotion"]["judged"]["requests"] == pytest.approx(0.4 * NIGHT, abs=1)


def test_a_refused_version_is_not_trained_again_on_the_same_requests_and_hides_no_drift(
    watched: tuple[Done, str], turned: tuple[Done, str]
) -> None:
    """New requests are counted from the newest version; drift is measured from the champion."""
    assert turned[0].result["new_requests"] == NIGHT
    assert turned[0].result["drift"]["new_requests"] == 2 * NIGHT
    assert watched[0].result["against"] == f"{MODEL} version 1"


def test_injected_drift_is_named_told_and_drawn(watched: tuple[Done, str]) -> None:
    done, artifact = watched
    assert done.result["drifted"] is True
    assert {"load_time_ms", "ttl_s"} <= set(done.result["drifted_in"])
    assert "size_bytes" not in done.result["drifted_in"]
    assert (Path(done.result["report"]) / "drift.png").read_bytes().startswith(b"\x89PNG")
    features = done.result["tested"]["features"]["statistics"]
    assert features.pop("cache_name") == {"value": 0.0, "p_value": 1.0, "threshold": None}  # the same in all windows
    for name, one in features.items():
        is_named = name in done.result["drifted_in"]
        assert (one["value"] > one["threshold"]) == (one["p_value"] <= 0.05) == is_named
        numbers = f"{one['value']:.4f} | {one['threshold']:.4f} | {one['p_value']:.4f}"
        assert f"| PSI of {name} | {numbers} | {'drifted' if is_named else 'as before'} |" in artifact


def test_drift_is_an_event_that_an_automation_can_wait_for(watched: tuple[Done, str], service: Service) -> None:
    (event,) = service.drift_events(1)
    assert event["resource"]["prefect.resource.id"] == "ers.cache-policy.eviction"
    assert set(event["payload"]["drifted"]) == set(watched[0].result["drifted_in"])
    assert event["payload"]["against"] == f"{MODEL} version 1"


def test_injected_drift_is_a_reason_to_train_and_the_better_policy_is_promoted(
    watched: tuple[Done, str], turned: tuple[Done, str], service: Service
) -> None:
    done, artifact = turned
    drifted = ", ".join(watched[0].result["drifted_in"])
    assert done.result["why"] == f"drift in {drifted}, from the data of {MODEL} version 1"
    assert (done.result["champion"], done.result["version"], done.result["promoted"]) == (1, 3, True)
    assert done.result["trained"]["cache"] == {"objects": 100}  # the champion's
    assert done.result["promotion"]["opponent"] == "champion"
    assert service.stages() == {1: "Archived", 2: "None", 3: "Production"}
    assert artifact.startswith(f"# {MODEL}: version 3 is in Production now\n\n{done.result['why']}\n")


def test_the_history_has_one_verdict_a_version(turned: tuple[Done, str], service: Service) -> None:
    decisions = [event for event in service.events() if event[0] in ("promoted", "refused")]
    assert decisions == [("promoted", 1), ("refused", 2), ("promoted", 3)]
    assert rows(service.home)["rl_models"] == 3
