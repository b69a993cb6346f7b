"""Reconcile: whatever was done by hand or left behind, one pass makes the stores agree, a second does nothing."""

import random
import shutil
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigError, ConflictError
from schemas.tables import rl_models
from tasks.registry import mlflow_side, sql_side
from tasks.registry.bundles import bundle_folder, fetch_bundle
from tasks.registry.champion import Move, champion_of, move_champion
from tasks.registry.history import champions_after, trail
from tasks.registry.mlflow_side import CHAMPION, PRODUCTION, StoredVersion
from tasks.registry.reconcile import is_agreed, reconcile, wanted_champion
from tasks.registry.rollback import roll_back
from tasks.registry.sql_side import PROMOTED, ROLLED_BACK, Version
from tests.tasks.registry.stores import NAME, Stores

STAGES = ("None", "Staging", "Production", "Archived")


class People:
    """Commands of the pipeline, and what people do by hand, on the versions of one model."""

    def __init__(self, stores: Stores, home: Path, bundle: Path) -> None:
        self.stores, self.home, self.bundle = stores, home, bundle
        self.client = stores.tracker.client

    @property
    def rows(self) -> list[Version]:
        return sql_side.read_versions(self.stores.engine, NAME)

    @property
    def stored(self) -> list[StoredVersion]:
        return mlflow_side.stored_versions(self.stores.tracker, NAME)

    @property
    def champion(self) -> int | None:
        found = champion_of(self.rows)
        return found.version if found else None

    def register(self) -> int:
        run_id = self.stores.train()
        folder = self.home / "bundles" / f"eviction-dqn-{run_id}"
        shutil.copytree(self.bundle, folder)
        version = self.stores.register(run_id, folder).version
        self.stores.tracker.finish()
        return version

    def promote(self, version: int) -> None:
        move_champion(self.stores.engine, self.stores.tracker, Move(NAME, version, self.champion, PROMOTED, "better"))

    def rollback(self) -> int:
        place = self.stores.engine, self.stores.tracker, self.home
        return roll_back(*place, "eviction", "worse", self.reconcile).version

    def reconcile(self) -> tuple[list[str], list[str]]:
        found = reconcile(self.stores.engine, self.stores.tracker, self.home)
        return found.healed, found.problems

    def alias(self, name: str, version: int | None) -> None:
        if version is None:
            self.client.delete_registered_model_alias(NAME, name)
        else:
            self.client.set_registered_model_alias(NAME, name, str(version))

    def stage(self, version: int, stage: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.client.transition_model_version_stage(NAME, str(version), stage)

    def delete_version(self, version: int) -> None:
        self.client.delete_model_version(NAME, str(version))

    def delete_row(self, version: int) -> None:
        with self.stores.engine.begin() as connection:
            connection.execute(sa.delete(rl_models).where(rl_models.c.version == version))

    def in_mlflow(self, version: int) -> Path:
        (run_id,) = (one.run_id for one in self.stored if one.version == version)
        (found,) = (self.home / "mlartifacts").glob(f"**/{run_id}/artifacts/bundle")
        return found

    def spoil(self, version: int) -> None:
        """Change a byte of the bundle in MLflow."""
        path = self.in_mlflow(version) / "policy.onnx"
        path.write_bytes(path.read_bytes()[:-1] + b"!")

    def check(self) -> None:
        rows, stored = self.rows, self.stored
        assert {(r.version, r.run_id, r.stage, r.aliases) for r in rows} == {
            (s.version, s.run_id, s.stage, s.aliases) for s in stored
        }
        assert is_agreed(stored, self.champion)
        assert sum(row.stage == PRODUCTION for row in rows) <= 1
        if self.champion is not None:
            row = next(row for row in rows if row.version == self.champion)
            assert fetch_bundle(self.stores.tracker, row, self.home).sha256 == row.bundle_sha256


@pytest.fixture
def people(stores: Stores, home: Path, bundle: Path) -> People:
    return People(stores, home, bundle)


@pytest.fixture
def three(people: People) -> People:
    """Three versions; the first and then the second were promoted."""
    for _ in range(3):
        people.register()
    people.promote(1)
    people.promote(2)
    return people


def told(people: People, *columns: str) -> list[tuple[object, ...]]:
    """The trail without registrations and intents."""
    events = trail(people.stores.engine, NAME, None, 1000)
    kept = [event for event in events if event["event"] not in ("intended", "registered", "moving")]
    return [tuple(event[column] for column in ("version", "event", "to_stage", *columns)) for event in kept]


def test_where_there_is_nothing_to_do_nothing_is_written(three: People) -> None:
    before = trail(three.stores.engine, None, None, 1000), three.stored
    assert three.reconcile() == ([], [])
    assert (trail(three.stores.engine, None, None, 1000), three.stored) == before


def test_a_version_chosen_in_mlflow_is_mirrored_as_external(three: People) -> None:
    three.stage(3, PRODUCTION)  # as the page does it, without archiving the other
    healed, problems = three.reconcile()
    assert problems == []
    assert len(healed) == 1
    three.check()
    assert three.champion == 3
    assert told(three, "actor")[-2:] == [
        (2, "archived", "Archived", "external"),
        (3, "promoted", "Production", "external"),
    ]


def test_a_moved_alias_is_a_promotion_too(three: People) -> None:
    three.alias(CHAMPION, 3)
    three.reconcile()
    three.check()
    assert three.champion == 3


@pytest.mark.parametrize("withdraw", [lambda p: p.alias(CHAMPION, None), lambda p: p.stage(2, "Archived")])
def test_a_champion_withdrawn_in_mlflow_is_archived(three: People, withdraw: Callable[[People], None]) -> None:
    withdraw(three)
    three.reconcile()
    three.check()
    assert three.champion is None
    assert three.rows[1].stage == "Archived"
    assert three.rollback() == 2  # back to the one that was there last


def test_a_version_whose_bundle_is_lost_cannot_be_chosen_by_hand(three: People) -> None:
    three.spoil(3)
    shutil.rmtree(bundle_folder(three.home, three.rows[2]))
    three.stage(3, PRODUCTION)
    healed, problems = three.reconcile()
    assert three.champion == 2
    assert "policy.onnx was changed" in healed[0]
    assert "version 3" in problems[0]
    version, event, _, actor, reason = told(three, "actor", "reason")[-2]
    assert (version, event, actor) == (3, "refused", "external")
    assert "policy.onnx was changed" in str(reason)
    assert three.reconcile() == ([], problems)


def test_a_foreign_version_is_left_alone_and_cannot_become_the_champion(three: People) -> None:
    run_id = three.stores.tracker.start_run("by hand", {}, {})
    three.client.create_model_version(NAME, "file:///nowhere", run_id, await_creation_for=0)
    three.alias(CHAMPION, 4)
    healed, problems = three.reconcile()
    assert three.champion == 2
    assert mlflow_side.CHAMPION in three.stored[1].aliases
    assert "no record of it" in healed[0]
    assert "version 4 was not registered by this pipeline" in problems[0]


def test_a_second_version_of_a_run_is_told_and_left_alone(three: People) -> None:
    three.client.create_model_version(NAME, "file:///nowhere", three.rows[0].run_id, await_creation_for=0)
    healed, problems = three.reconcile()
    assert healed == []
    assert "version 4 is of a run that has another version already" in problems[0]
    assert len(three.rows) == 3


def test_a_version_deleted_in_mlflow_leaves_the_rows_but_not_the_history(three: People) -> None:
    three.delete_version(2)
    healed, _ = three.reconcile()
    assert len(healed) == 1
    three.check()
    assert [row.version for row in three.rows] == [1, 3]
    assert three.champion is None
    removed = trail(three.stores.engine, NAME, 2, 1000)[-1]
    assert (removed["event"], removed["from_stage"], removed["actor"]) == ("removed", "Production", "external")
    assert three.rollback() == 1


def test_a_lost_row_comes_back_as_it_was(three: People) -> None:
    columns = [c for c in rl_models.columns if c.name not in ("id", "created_at")]
    with three.stores.engine.connect() as connection:
        before = connection.execute(sa.select(*columns).order_by(rl_models.c.version)).all()
    three.delete_row(2)
    three.reconcile()
    three.check()
    with three.stores.engine.connect() as connection:
        assert connection.execute(sa.select(*columns).order_by(rl_models.c.version)).all() == before
    assert three.champion == 2


def test_a_lost_database_is_rebuilt_from_mlflow(three: People) -> None:
    with three.stores.engine.connect() as connection:
        before = dict(connection.execute(sa.select(rl_models.c.version, rl_models.c.model_base64)).all())
    with three.stores.engine.begin() as connection:
        for table in ("rl_models", "rl_model_events"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    assert three.reconcile()[1] == []
    three.check()
    assert three.champion == 2
    with three.stores.engine.connect() as connection:
        assert dict(connection.execute(sa.select(rl_models.c.version, rl_models.c.model_base64)).all()) == before


def test_a_model_that_was_deleted_whole_and_begins_anew_gets_new_rows(three: People) -> None:
    three.client.delete_registered_model(NAME)
    assert three.register() == 1
    three.reconcile()
    three.check()
    assert [row.version for row in three.rows] == [1]


def test_a_spoilt_bundle_is_restored_from_this_machine(three: People) -> None:
    three.spoil(2)
    healed, problems = three.reconcile()
    assert problems == []
    assert "restored" in healed[0]
    three.check()
    assert three.reconcile() == ([], [])


def test_an_added_file_in_the_bundle_is_removed(three: People) -> None:
    (three.in_mlflow(1) / "evil.sh").write_text("rm -rf /")
    three.reconcile()
    assert not (three.in_mlflow(1) / "evil.sh").exists()
    assert three.reconcile() == ([], [])


def test_a_damaged_copy_on_this_machine_is_fetched_anew(three: People) -> None:
    folder = bundle_folder(three.home, three.rows[1])
    (folder / "metadata.json").write_text("{}")
    assert fetch_bundle(three.stores.tracker, three.rows[1], three.home).folder == folder


def test_a_rollback_undoes_one_promotion_after_the_other(three: People) -> None:
    three.promote(3)
    assert [three.rollback(), three.rollback()] == [2, 1]
    three.check()
    with pytest.raises(ConfigError, match="nothing to go back to"):
        three.rollback()
    assert [event for _, event, _ in told(three)][-4:] == ["archived", "rolled back", "archived", "rolled back"]


def test_a_move_decided_on_another_champion_is_refused(three: People) -> None:
    with pytest.raises(ConflictError, match="version 2 is in Production now"):
        move_champion(three.stores.engine, three.stores.tracker, Move(NAME, 3, 1, PROMOTED, "better"))
    three.check()
    assert three.champion == 2


def test_all_versions_and_stages_survive_any_sequence_of_commands_and_hands(people: People) -> None:
    rng = random.Random(6)
    for _ in range(2):
        people.register()
    for _ in range(20):
        for _ in range(rng.randint(1, 3)):
            disturb(people, rng)
        people.reconcile()
        people.check()
        assert people.reconcile()[0] == []


def disturb(people: People, rng: random.Random) -> None:
    """Do one thing, by a command or by hand."""
    numbers = [one.version for one in people.stored]
    if len(numbers) < 2:
        people.register()
        return
    version = rng.choice(numbers)
    known = [row.version for row in people.rows]
    rng.choice(
        [
            lambda: people.promote(version) if version in known else None,
            lambda: people.alias(CHAMPION, version),
            lambda: people.alias(CHAMPION, None),
            lambda: people.alias("mine", version),
            lambda: people.stage(version, rng.choice(STAGES)),
            lambda: people.stage(version, PRODUCTION),
            lambda: people.delete_row(version),
            lambda: people.delete_version(version),
            lambda: people.spoil(version),
        ]
    )()


stored_versions = st.lists(
    st.tuples(st.sampled_from(STAGES), st.booleans(), st.integers(0, 3)), min_size=0, max_size=5
).map(
    lambda found: [
        StoredVersion(number, f"run{number}", stage, (CHAMPION,) if alias and number == len(found) else (), updated)
        for number, (stage, alias, updated) in enumerate(found, start=1)
    ]
)


@given(stored=stored_versions, former=st.none() | st.integers(1, 5))
def test_the_champion_that_people_meant_is_the_one_they_moved_and_moving_it_makes_the_stores_agree(
    stored: list[StoredVersion], former: int | None
) -> None:
    wanted = wanted_champion(stored, former)
    if is_agreed(stored, former):
        assert wanted == former
        return
    assert wanted != former or wanted is None
    if wanted is not None:
        one = stored[wanted - 1]
        assert one.stage == PRODUCTION or CHAMPION in one.aliases


@given(moves=st.lists(st.tuples(st.sampled_from([PROMOTED, ROLLED_BACK, "removed"]), st.integers(1, 4))))
def test_no_version_follows_itself_among_the_former_champions(moves: list[tuple[str, int]]) -> None:
    champions: list[int] = []
    for event, version in moves:
        champions = champions_after(champions, event, version)
        assert all(one != other for one, other in pairwise(champions))
        assert version not in champions if event == "removed" else champions[-1] == version
