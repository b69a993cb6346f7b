"""Registration, promotion, rollback and reconcile, killed at each step on each database: the same again puts it right.

The steps are those that an undisturbed run does; together they are all that the code names.
"""

import ast
import os
import shutil
import signal
from collections.abc import Callable, Iterator

import pytest

from tasks.registry.bundles import bundle_folder
from tests.databases import KINDS, Databases
from tests.faults.forks import Forks
from tests.faults.operations import DECIDED
from tests.faults.registry_trial import NAME, Trial
from tests.flows.running import ROOT

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
        at_work[-1].wait("T")
    for fork in at_work:
        os.kill(fork.pid, signal.SIGKILL)
        fork.wait()
    trial.tracker.client.delete_model_version(NAME, "3")


def moved(trial: Trial) -> None:
    """A promotion that was killed in its middle."""
    assert trial.forks.run("promote", trial.settings, after="move: alias set").killed


def nothing(_trial: Trial) -> None:
    """Nothing is damaged."""


SCENARIOS: dict[str, tuple[str, Callable[[Trial], None], int | None]] = {  # operation, damage, champion afterwards
    "registration": ("train_end", nothing, 2),
    "promotion": ("promote", nothing, 3),
    "promotion of what must be fetched": ("promote", lambda trial: shutil.rmtree(trial.home / "bundles"), 3),
    "rollback": ("rollback", nothing, 1),
    "changed by hand": ("reconcile", changed_by_hand, 1),
    "unfit chosen": ("reconcile", unfit_chosen, 2),
    "bundle lost": ("reconcile", bundle_lost, 2),
    "model lost": ("reconcile", model_lost, 2),
    "withdrawn": ("reconcile", withdrawn, None),
    "cut off": ("reconcile", cut_off, 2),
    "moved": ("reconcile", moved, 3),
}
Registries = Callable[[str], Trial]
LOST = {"unfit chosen": frozenset({3})}


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
    SCENARIOS[scenario][1](trial)
    trial.keep(scenario)
    return trial


@pytest.mark.parametrize("database_kind", KINDS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_after_any_step_and_given_again_it_ends_as_if_it_had_not_been_killed(
    scenario: str, database_kind: str, trials: Registries
) -> None:
    operation, _, champion = SCENARIOS[scenario]
    trial = begin(trials, database_kind, scenario)
    whole = trial.forks.run(operation, trial.settings)
    assert whole.error == ""
    trial.check(LOST.get(scenario, frozenset()))
    assert trial.champion == champion
    expected = outcome_of(trial)

    for number, step in enumerate(whole.steps, start=1):
        trial = begin(trials, database_kind, scenario)
        assert trial.forks.run(operation, trial.settings, after=number).killed, step
        if step == "move: rows written" and operation == "rollback":
            continue  # it is done: given again, it would go back further
        again = trial.forks.run(operation, trial.settings)
        assert again.error == "", step
        trial.check(LOST.get(scenario, frozenset()))
        assert trial.champion == champion, step
        if operation != "train_end":
            assert outcome_of(trial) == expected, step
        if operation == "reconcile":
            assert trial.forks.run(operation, trial.settings).result == [], step


def outcome_of(trial: Trial) -> object:
    """Return what is to be the same whether it was killed or not: the stages, and the events but for their order."""
    return {n: (row.stage, row.aliases) for n, row in trial.rows.items()}, sorted(map(str, trial.events))


def test_the_scenarios_reach_every_step_that_the_code_names(trials: Registries) -> None:
    reached: set[str] = set()
    for scenario, (operation, _, _) in SCENARIOS.items():
        trial = begin(trials, "sqlite", scenario)
        reached.update(trial.forks.run(operation, trial.settings).steps)
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
    trial = begin(trials, "sqlite", "promotion")
    slow = trial.forks.start("promote", trial.settings, "3", after="move: intent recorded", ending=signal.SIGSTOP)
    slow.wait("T")
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
    trial = begin(trials, database_kind, "promotion")
    stopped = [
        trial.forks.start("promote", trial.settings, which, after=DECIDED, ending=signal.SIGSTOP)
        for which in ("1", "3", "1", "3")
    ]
    for fork in stopped:
        fork.wait("T")
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
