"""Registration, promotion, rollback and reconcile, killed after each step: the same again puts it right.

The steps are those that an undisturbed run does; together they are all that the code names.
"""

import ast
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil
import pytest

from tasks.registry.bundles import bundle_folder
from tests.faults.forks import Forks
from tests.faults.operations import DECIDED
from tests.faults.registry_trial import NAME, Trial
from tests.flows.running import ROOT
from tests.support.databases import KINDS, Databases

pytestmark = pytest.mark.slow


def changed_by_hand(trial: Trial) -> None:
    """A row deleted in SQL, a version deleted in MLflow, another chosen by its alias, an alias of one's own."""
    with trial.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM rl_models WHERE version = 1")
    client = trial.tracker.client
    client.delete_model_version(NAME, "3")
    client.set_registered_model_alias(NAME, "champion", "1")
    client.set_registered_model_alias(NAME, "mine", "2")


def unfit_chosen(trial: Trial) -> None:
    """A version put to Production by hand whose bundle was changed, and nobody has it whole."""
    trial.transition(3, "Production")
    (trial.bundle_in_mlflow(3) / "policy.pt").write_bytes(b"spoilt")
    shutil.rmtree(bundle_folder(trial.home, trial.rows[3]))


def bundle_lost(trial: Trial) -> None:
    """The bundle of the champion deleted among MLflow's artifacts."""
    shutil.rmtree(trial.bundle_in_mlflow(2))


def model_lost(trial: Trial) -> None:
    """The model that MLflow serves, of the champion, deleted among its artifacts."""
    shutil.rmtree(trial.bundle_in_mlflow(2).with_name("model"))


def withdrawn(trial: Trial) -> None:
    """The champion archived by hand."""
    trial.transition(2, "Archived")


def cut_off(trial: Trial) -> None:
    """Two registrations and a promotion of processes that were killed; what was to be promoted is gone since."""
    at_work = []
    for operation, step in (
        ("promote", "move: alias set"),
        ("train_end", "register: intent recorded"),
        ("train_end", "register: version created"),
    ):
        at_work.append(trial.forks.start(operation, trial.settings, after=step, ending=signal.SIGSTOP))
        at_work[-1].wait(psutil.STATUS_STOPPED)
    for fork in at_work:
        os.kill(fork.pid, signal.SIGKILL)
        fork.wait()
    trial.tracker.client.delete_model_version(NAME, "3")


def moved(trial: Trial) -> None:
    """A promotion that was killed in its middle."""
    assert trial.forks.run("promote", trial.settings, after="move: alias set").killed


def unfetched(trial: Trial) -> None:
    """No bundle on this machine."""
    shutil.rmtree(trial.home / "bundles")


def nothing(_trial: Trial) -> None:
    """Nothing is damaged."""


MOVE = ("move: intent recorded", "move: alias set", "move: stages set", "move: rows written")
PUT_BACK = ("put back: alias set", "put back: stages set")
WRITING = {  # the steps that write to the database
    "register: intent recorded",
    "register: row written",
    "settle: registration completed",
    "settle: registration abandoned",
    "settle: move given up",
    "move: intent recorded",
    "move: rows written",
    "reconcile: row removed",
    "reconcile: row restored",
    "reconcile: refusal recorded",
    "reconcile: stage mirrored",
}


@dataclass(frozen=True)
class Scenario:
    """An operation on a registry that something was done to.

    Attributes:
        champion: the version in Production afterwards.
        steps: what it does, undisturbed.
        lost: versions that have no bundle any more.
    """

    operation: str
    damage: Callable[[Trial], None]
    champion: int | None
    steps: tuple[str, ...]
    lost: frozenset[int] = frozenset()


REGISTER = ("model logged", "row logged", "intent recorded", "model created", "version created", "row written")
CHANGED = ("reconcile: row removed", "reconcile: row restored", *MOVE, "reconcile: stage mirrored")
UNFIT = ("reconcile: refusal recorded", *PUT_BACK, "reconcile: stage mirrored")
CUT_OFF = (
    "settle: registration abandoned",
    "settle: registration completed",
    *PUT_BACK,
    "settle: move given up",
    "settle: leftovers removed",
    "reconcile: row removed",
)
SCENARIOS = {
    "registration": Scenario("train_end", nothing, 2, tuple(f"register: {step}" for step in REGISTER)),
    "promotion": Scenario("promote", unfetched, 3, ("fetch: bundle in place", DECIDED, *MOVE)),
    "rollback": Scenario("rollback", nothing, 1, MOVE),
    "changed by hand": Scenario("reconcile", changed_by_hand, 1, CHANGED),
    "unfit chosen": Scenario("reconcile", unfit_chosen, 2, UNFIT, lost=frozenset({3})),
    "bundle lost": Scenario("reconcile", bundle_lost, 2, ("reconcile: bundle restored",)),
    "model lost": Scenario("reconcile", model_lost, 2, ("reconcile: model restored",)),
    "withdrawn": Scenario("reconcile", withdrawn, None, MOVE),
    "cut off": Scenario("reconcile", cut_off, 2, CUT_OFF),
    "moved": Scenario("reconcile", moved, 3, MOVE[1:]),
}
Registries = Callable[[str], Trial]


def kills() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield scenarios, kinds of database, and after which steps to kill there.

    With SQLite that is each step. MLflow's part of it is the same everywhere: with another database it is each step
    that writes to it, in the first scenario that has it.
    """
    for name, scenario in SCENARIOS.items():
        yield name, "sqlite", scenario.steps
    for kind in KINDS[1:]:
        left = set(WRITING)
        for name, scenario in SCENARIOS.items():
            writing = [step for step in scenario.steps if step in WRITING]
            if writing:
                yield name, kind, tuple(step for step in writing if step in left)
                left -= set(writing)


@pytest.fixture(scope="module")
def trials(
    forks: Forks, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Trial]]:
    """A registry on a database of each kind, made when first asked for."""

    made: dict[str, Trial] = {}

    def trial(kind: str) -> Trial:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            settings = databases.settings(kind, folder / "home")
            settings.ers_home.mkdir()
            made[kind] = Trial(forks, settings, folder / "template")
        return made[kind]

    yield trial
    for one in made.values():
        one.engine.dispose()


def begin(trials: Registries, database_kind: str, scenario: str) -> Trial:
    """Return the registry, put back to its beginning and damaged."""
    trial = trials(database_kind)
    if trial.keeps(scenario):
        trial.reset(scenario)
        return trial
    trial.reset()
    SCENARIOS[scenario].damage(trial)
    trial.keep(scenario)
    return trial


@pytest.mark.parametrize(("name", "database_kind", "steps"), [*kills()])
def test_killed_after_a_step_and_given_again_it_ends_as_if_it_had_not_been_killed(
    name: str, database_kind: str, steps: tuple[str, ...], trials: Registries
) -> None:
    scenario = SCENARIOS[name]
    trial = begin(trials, database_kind, name)
    whole = trial.forks.run(scenario.operation, trial.settings)
    assert (whole.error, whole.steps) == ("", scenario.steps)
    assert_ended(trial, scenario)
    expected = outcome_of(trial)
    if scenario.operation == "reconcile":
        assert trial.forks.run("reconcile", trial.settings).result == []

    begin(trials, database_kind, name)
    before = rows_of(trial)
    for step in steps:
        begin(trials, database_kind, name)
        assert trial.forks.run(scenario.operation, trial.settings, after=step).killed, step
        left = rows_of(trial)
        assert (left != before) == (step in WRITING), step
        before = left
        if step == "move: rows written" and scenario.operation == "rollback":
            continue  # it is done: given again, it would go back further
        again = trial.forks.run(scenario.operation, trial.settings)
        assert again.error == "", step
        assert_ended(trial, scenario)
        if scenario.operation != "train_end":
            assert outcome_of(trial) == expected, step


def assert_ended(trial: Trial, scenario: Scenario) -> None:
    trial.check(scenario.lost)
    assert trial.champion == scenario.champion


def rows_of(trial: Trial) -> object:
    """Return what both tables hold."""
    return trial.rows, trial.events


def outcome_of(trial: Trial) -> object:
    """Return what is to be the same whether it was killed or not: the stages, and the events but for their order."""
    return {n: (row.stage, row.aliases) for n, row in trial.rows.items()}, sorted(map(str, trial.events))


def test_the_scenarios_reach_every_step_that_the_code_names() -> None:
    reached = {step for scenario in SCENARIOS.values() for step in scenario.steps}
    assert reached - {DECIDED} == set(steps_in_the_code())


def steps_in_the_code() -> Iterator[str]:
    """Yield the name of each step of the registry, as the code has it."""
    for path in sorted((ROOT / "tasks" / "registry").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "step_done":
                (name,) = node.args
                assert isinstance(name, ast.Constant), f"{path.name}:{node.lineno}: the name of a step is a literal"
                yield str(name.value)


def test_of_promotions_at_the_same_time_one_wins_and_the_others_say_so(trials: Registries) -> None:
    trial = begin(trials, "sqlite", "registration")
    slow = trial.forks.start("promote", trial.settings, "3", after="move: intent recorded", ending=signal.SIGSTOP)
    slow.wait(psutil.STATUS_STOPPED)
    refused = trial.forks.run("promote", trial.settings, "1")
    assert refused.error.startswith("ConflictError: cache-policy-eviction: ")
    assert "is moving version 3 since" in refused.error
    assert trial.forks.run("reconcile", trial.settings).result == []  # it is at work, and alive
    os.kill(slow.pid, signal.SIGCONT)
    assert slow.ended().result == 3
    trial.check()
    assert trial.champion == 3


@pytest.mark.parametrize("database_kind", KINDS)
def test_of_several_promotions_that_race_exactly_one_wins(database_kind: str, trials: Registries) -> None:
    trial = begin(trials, database_kind, "registration")
    stopped = [
        trial.forks.start("promote", trial.settings, which, after=DECIDED, ending=signal.SIGSTOP)
        for which in ("1", "3", "1", "3")
    ]
    for fork in stopped:
        fork.wait(psutil.STATUS_STOPPED)
    for fork in stopped:
        os.kill(fork.pid, signal.SIGCONT)
    outcomes = [fork.ended() for fork in stopped]
    (winner,) = [outcome.result for outcome in outcomes if not outcome.error]
    assert all(outcome.error.startswith("ConflictError: ") for outcome in outcomes if outcome.error)
    trial.check()
    assert trial.champion == winner


@pytest.mark.parametrize("database_kind", KINDS)
def test_reconciles_at_the_same_time_heal_each_thing_once(database_kind: str, trials: Registries) -> None:
    trial = begin(trials, database_kind, "changed by hand")
    at_work = [trial.forks.start("reconcile", trial.settings) for _ in range(4)]
    outcomes = [fork.ended() for fork in at_work]
    assert [outcome.error for outcome in outcomes] == [""] * 4
    trial.forks.run("reconcile", trial.settings)  # what one of them left to another that was at work
    trial.check()
    assert trial.champion == 1
    assert [event for event, _, _ in trial.events].count("removed") == 1
    assert [event for event, _, _ in trial.events].count("restored") == 1
