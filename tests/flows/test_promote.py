"""The flows `promote` and `rollback`, and what `history` and `reconcile` say after them: a first version passes the
gate, a worse one is refused, is put there by force all the same, and is rolled back.

Two versions are trained. What is done to them is a chain of fixtures, each of which asks for the one before it; a test
relies on the fixtures that it names, and so does not depend on which other tests ran.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.commands.history import INTENTS
from tasks.registry.mlflow_side import CHAMPION, PRODUCTION, stored_versions
from tasks.tracking.tracker import open_tracker
from tests.flows.running import MODEL, CommandLine, Done, mlflow_runs, rows, select
from tests.tasks.registry.stores import settings_of

pytestmark = pytest.mark.slow

TRAINING = ("--cache-fraction", 0.05, "--timesteps", 3_000, "--json")
BETTER, WORSE = 1, 2  # versions: DQN, and A2C after as many steps, whose hit ratio is .015 lower


@dataclass(frozen=True)
class Step:
    """A command that ended, and what the registry held then.

    Attributes:
        done: how it ended.
        stages: of each version, as both stores have them.
        champion: the version with the alias, None = none has it.
        gate: of each version, its tag in MLflow.
        events: of the history, oldest first.
    """

    done: Done
    stages: dict[int, str]
    champion: int | None
    gate: dict[int, str]
    events: list[dict[str, Any]]


class Registry:
    """A home with the requests recorded and two versions trained, in which commands are run."""

    def __init__(self, command_line: CommandLine, home: Path, source: Path) -> None:
        self.home, self._command_line, self._source = home, command_line, source
        for algorithm in ("dqn", "a2c"):
            words = ("train", "--source", source, "--algorithm", algorithm, *TRAINING)
            assert command_line(home, *words).status == 0

    def __call__(self, *words: object) -> Done:
        return self._command_line(self.home, *words)

    def promote(self, version: object, *words: object) -> Done:
        """Promote a version by the recorded requests."""
        return self("promote", "--source", self._source, "--version", version, *words)

    def after(self, done: Done) -> Step:
        """Return what the registry holds after a command; both stores agree."""
        tracker = open_tracker(settings_of(self.home))
        stored = stored_versions(tracker, MODEL)
        mirrored = select(self.home, "SELECT version, stage, aliases FROM rl_models ORDER BY version")
        assert [(v, s, json.loads(a)) for v, s, a in mirrored] == [
            (one.version, one.stage, list(one.aliases)) for one in stored
        ]
        gate = {
            one.version: tracker.client.get_model_version(MODEL, str(one.version)).tags.get("gate", "")
            for one in stored
        }
        return Step(
            done,
            {one.version: one.stage for one in stored},
            next((one.version for one in stored if CHAMPION in one.aliases), None),
            gate,
            self("history", "--json").result["events"],
        )

    def left(self) -> object:
        """Return how much both stores hold."""
        return rows(self.home), mlflow_runs(self.home)


@pytest.fixture(scope="module")
def registry(command_line: CommandLine, requests_parquet: Path, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(command_line, tmp_path_factory.mktemp("promoted"), requests_parquet)


@pytest.fixture(scope="module")
def promoted(registry: Registry) -> Step:
    """The better version, where nothing was in Production."""
    return registry.after(registry.promote("best"))


@pytest.fixture(scope="module")
def refused(promoted: Step, registry: Registry) -> Step:
    """The other version, against it."""
    return registry.after(registry.promote("latest"))


@pytest.fixture(scope="module")
def refused_as_json(refused: Step, registry: Registry) -> Step:
    """The same once more."""
    return registry.after(registry.promote(WORSE, "--json"))


@pytest.fixture(scope="module")
def forced(refused_as_json: Step, registry: Registry) -> Step:
    """The same by force."""
    return registry.after(registry.promote(WORSE, "--force", "true", "--reason", "it is\nfor a test", "--json"))


@pytest.fixture(scope="module")
def rolled_back(forced: Step, registry: Registry) -> Step:
    """Back from it."""
    return registry.after(registry("rollback", "--reason", "it was worse"))


def only_error(done: Done) -> str:
    """The line on stderr that is an error."""
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert done.err.endswith(f"{line}\n")
    assert "Traceback" not in done.err
    return line


# --- promotion ---


def test_a_first_version_that_beats_lru_goes_into_production_with_stage_and_alias(promoted: Step) -> None:
    assert promoted.done.status == 0, promoted.done.err
    assert promoted.stages == {BETTER: PRODUCTION, WORSE: "None"}
    assert promoted.champion == BETTER
    assert promoted.gate == {BETTER: "passed", WORSE: ""}
    last = promoted.events[-1]
    assert (last["event"], last["version"]) == ("promoted", BETTER)
    assert (last["from_stage"], last["to_stage"]) == ("None", PRODUCTION)
    assert last["evidence"]["opponent"] == "lru"
    assert last["evidence"]["gate"]["passed"] is True
    assert last["evidence"]["judged"]["requests"] == 4_800


def test_a_promotion_is_told_check_by_check_with_the_bundle_to_serve_and_the_report(promoted: Step) -> None:
    lines = promoted.done.out.splitlines()
    checks = promoted.events[-1]["evidence"]["gate"]["checks"]
    for line, check in zip(lines, checks, strict=False):
        assert line.split() == ["yes", *check["name"].split(), *check["detail"].split()]
    told = lines[len(checks) :]
    assert told[0] == f"{MODEL}: version {BETTER} is in Production now"
    assert told[1].startswith("why     passed the gate: its value ratio differs by +0.0")
    bundle, report = (Path(line.split()[1]) for line in told[2:])
    assert (bundle / "policy.pt").exists()
    assert json.loads((report / "scores.json").read_text())["test"]["policy"]["requests"] == 4_800


def test_promoting_the_champion_says_that_there_is_nothing_to_do_and_does_nothing(
    promoted: Step, rolled_back: Step, registry: Registry
) -> None:
    before = registry.left()
    done = registry.promote(BETTER)
    assert (done.status, done.out) == (0, f"{MODEL}: version {BETTER} is in Production already: nothing to do\n")
    assert registry.left() == before


def test_the_best_version_is_the_one_that_exceeded_its_baselines_by_more(rolled_back: Step, registry: Registry) -> None:
    result = registry.promote("best", "--json").result
    assert (result["version"], result["former"], result["is_new"]) == (BETTER, BETTER, False)


# --- refusal ---


def test_a_version_that_is_not_better_is_refused_with_the_table_and_one_line(refused: Step) -> None:
    assert refused.done.status == 3
    line = only_error(refused.done)
    assert line.startswith(f"error: {MODEL} version {WORSE} does not pass the gate, version {BETTER} stays: its value")
    checks = refused.events[-1]["evidence"]["gate"]["checks"]
    table = refused.done.out.splitlines()[: len(checks)]
    assert [row.split()[0] for row in table] == ["yes" if check["passed"] else "NO" for check in checks]
    assert "is in Production now" not in refused.done.out


def test_a_refusal_changes_no_stage_and_is_kept_in_the_history_and_in_mlflow(promoted: Step, refused: Step) -> None:
    assert (refused.stages, refused.champion) == (promoted.stages, promoted.champion)
    assert refused.events[:-1] == promoted.events
    event = refused.events[-1]
    assert (event["event"], event["version"], event["to_stage"]) == ("refused", WORSE, None)
    assert event["evidence"]["opponent"] == CHAMPION
    assert event["evidence"]["difference"]["value_ratio"]["high"] < 0
    assert event["reason"] == "; ".join(event["evidence"]["gate"]["reasons"])
    assert refused.gate == {BETTER: "passed", WORSE: f"refused: {event['reason']}"}


def test_a_refusal_as_json_says_what_the_history_keeps(refused: Step, refused_as_json: Step) -> None:
    done, event = refused_as_json.done, refused_as_json.events[-1]
    assert done.status == 3
    result = json.loads(done.out)
    assert (result["version"], result["former"], result["is_new"]) == (WORSE, BETTER, False)
    assert {name: result[name] for name in event["evidence"]} == event["evidence"]
    only_error(done)
    again, first = (step.events[-1]["evidence"] for step in (refused_as_json, refused))
    assert (again["scores"], again["difference"]) == (first["scores"], first["difference"])


# --- force and rollback ---


def test_a_forced_promotion_keeps_its_reason_and_judges_nothing(forced: Step) -> None:
    result = forced.done.result
    assert (result["version"], result["former"], result["is_new"]) == (WORSE, BETTER, True)
    assert result["forced"] is True
    assert "gate" not in result
    assert forced.stages == {BETTER: "Archived", WORSE: PRODUCTION}
    assert forced.champion == WORSE
    assert [(e["event"], e["version"], e["reason"]) for e in forced.events[-2:]] == [
        ("archived", BETTER, "it is\nfor a test"),
        ("promoted", WORSE, "it is\nfor a test"),
    ]
    assert forced.events[-1]["evidence"] == {"forced": True}


def test_a_rollback_puts_the_former_champion_back(forced: Step, rolled_back: Step) -> None:
    done = rolled_back.done
    assert done.status == 0, done.err
    told = f"{MODEL}: version {BETTER} is in Production again, before it was version {WORSE}\nbundle  "
    assert done.out.startswith(told)
    assert (Path(done.out.removeprefix(told).strip()) / "policy.pt").exists()
    assert rolled_back.stages == {BETTER: PRODUCTION, WORSE: "Archived"}
    assert rolled_back.champion == BETTER
    assert rolled_back.events[: len(forced.events)] == forced.events
    assert rolled_back.events[-1]["event"] == "rolled back"
    assert rolled_back.events[-1]["reason"] == "it was worse"


def test_the_history_is_a_line_an_event_whatever_the_reasons(rolled_back: Step, registry: Registry) -> None:
    heading, *lines = registry("history", "--version", WORSE).out.splitlines()
    assert heading.split()[:3] == ["when", "(UTC)", "model"]
    told = [event for event in rolled_back.events if event["version"] == WORSE and event["event"] not in INTENTS]
    assert len(lines) >= len(told)
    for line, event in zip(lines, told, strict=False):
        assert event["event"] in line
        assert event["actor"] in line
        assert line.endswith(" ".join((event["reason"] or "").split()))
    assert any("None -> Production" in line and line.endswith("it is for a test") for line in lines)


def test_the_history_can_be_cut_to_its_newest_events(rolled_back: Step, registry: Registry) -> None:
    whole = registry("history", "--json").result["events"]
    assert registry("history", "--limit", 3, "--json").result["events"] == whole[-3:]
    assert registry("history", "--decision", "ttl").out == "nothing was registered yet\n"


def test_after_all_this_both_stores_agree(rolled_back: Step, registry: Registry) -> None:
    before = registry.left()
    done = registry("reconcile")
    assert (done.status, done.out) == (0, "rl_models and MLflow agree: nothing to do\n")
    assert registry.left() == before


# --- what cannot be done ---


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("rollback",), f"{MODEL}: no version was in Production before, so there is nothing to go back to"),
        (("rollback", "--decision", "ttl"), "cache-policy-ttl: no version was in Production before"),
        (("promote", "--force", "true"), "force: give the reason too, it is kept in the history"),
        (("promote", "--version", 7), f"version: {MODEL} has no version '7'; it has 1, 2; or say latest, best or"),
        (("promote", "--version", "newest"), "version: "),
        (("promote", "--decision", "admission"), "cache-policy-admission has no versions yet; train one"),
        (("promote", "--version", WORSE, "--table", "no_such_table"), "table 'no_such_table' is not in the database"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    words: tuple[object, ...], told: str, rolled_back: Step, registry: Registry
) -> None:
    before = registry.left()
    done = registry(*words)
    assert (done.status, done.out) == (2, "")
    assert told in only_error(done)
    assert registry.left() == before


def negative_sizes(registry: Registry) -> tuple[object, ...]:
    """All sizes below zero."""
    with closing(sqlite3.connect(registry.home / "ers.db")) as connection, connection:
        columns = "id INTEGER, timestamp DATETIME, cache_name TEXT, cache_key TEXT, size_bytes BIGINT"
        connection.execute(f"CREATE TABLE negative ({columns})")
        chosen = "SELECT id, timestamp, cache_name, cache_key, -size_bytes FROM cache_metrics"
        connection.execute(f"INSERT INTO negative {chosen}")
    return "--source", "none", "--table", "negative"


def nothing_whole(registry: Registry) -> tuple[object, ...]:
    """A bundle that is spoilt in MLflow and on this machine."""
    for folder in bundle_folders(registry):
        (folder / "policy.pt").write_bytes(b"spoilt")
    return ()


def bundle_folders(registry: Registry) -> list[Path]:
    """The folders of the bundle of the worse version: in MLflow, and on this machine."""
    ((run_id,),) = select(registry.home, f"SELECT mlflow_run_id FROM rl_models WHERE version = {WORSE}")
    stored = next((registry.home / "mlartifacts").rglob(f"{run_id}/artifacts/bundle"))
    return [stored, registry.home / "bundles" / f"eviction-a2c-{run_id}"]


@pytest.fixture
def mended(registry: Registry) -> Iterator[None]:
    """Puts back what a test spoils of the bundle."""
    files = [folder / "policy.pt" for folder in bundle_folders(registry)]
    contents = [file.read_bytes() for file in files]
    yield
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)


@pytest.mark.parametrize(
    ("prepare", "words", "told"),
    [
        (None, ("--max-queries", 100), "at least 1,000 requests: found 100"),
        (None, ("--max-queries", 5_000, "--min-judged", 4_801), "4,800 of 5,000 requests are later than the training"),
        (negative_sizes, (), "size_bytes"),
        (nothing_whole, (), f"bundle of {MODEL} version {WORSE} in MLflow: "),
    ],
)
def test_what_cannot_be_judged_is_refused_on_record(
    prepare: Callable[[Registry], tuple[object, ...]] | None,
    words: tuple[object, ...],
    told: str,
    rolled_back: Step,
    registry: Registry,
    mended: None,
) -> None:
    more = prepare(registry) if prepare else ()
    step = registry.after(registry.promote(WORSE, *words, *more))
    assert step.done.status == 3
    assert told in only_error(step.done)
    (row,) = step.done.out.splitlines()
    assert row.split()[:2] == ["NO", "judged"]
    assert (step.stages, step.champion) == (rolled_back.stages, rolled_back.champion)
    event = step.events[-1]
    assert (event["event"], event["version"]) == ("refused", WORSE)
    assert told in event["reason"]
    assert event["evidence"]["gate"]["passed"] is False
    assert step.gate[WORSE] == f"refused: {event['reason']}"
