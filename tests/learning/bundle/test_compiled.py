"""A bundle's network in the compiled replay: the one that was exported, and refused where it is another."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learning.bundle.compiled import compiled_policy, compiled_scores
from learning.bundle.load import LoadedBundle, load_bundle
from learning.problem import build_problem
from schemas.errors import BundleError
from schemas.options.train import TrainConfig
from tests.learning.promotion.judged_bundles import make_bundle, recorded, untrained

ROOT = Path(__file__).parents[3]
CONFIGS = {
    "eviction": TrainConfig(cache_size=60),
    "ttl": TrainConfig(decision="ttl", cache_size=60, ttl_ladder_s=(20, 300)),
    "admission": TrainConfig(decision="admission", cache_size=60),
}

BARE = """
import pathlib, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("gymnasium", "stable_baselines3", "pandas", "mlflow", "prefect", "sqlalchemy"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
from learning.bundle.load import load_bundle
from learning.bundle.compiled import compiled_policy
for folder in sys.argv[1:]:
    compiled_policy(load_bundle(pathlib.Path(folder)))
"""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedBundle]:
    folder, trace = tmp_path_factory.mktemp("bundles"), recorded()
    return {name: make_bundle(folder / name, trace, config) for name, config in CONFIGS.items()}


@pytest.mark.parametrize("decision", CONFIGS)
def test_the_weights_are_those_that_were_exported_bit_for_bit(decision: str, bundles: dict[str, LoadedBundle]) -> None:
    exported = untrained(build_problem(recorded(), CONFIGS[decision])).policy
    compiled = compiled_policy(bundles[decision])
    assert type(compiled) is type(exported)
    for one, other in zip((*compiled[0], *compiled[1:]), (*exported[0], *exported[1:]), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("decision", CONFIGS)
def test_both_networks_score_any_state_alike(decision: str, bundles: dict[str, LoadedBundle]) -> None:
    bundle, rng = bundles[decision], np.random.default_rng(0)
    rows = 10.0 ** rng.uniform(-6, 9, (2_000, len(bundle.metadata.features))) * rng.choice([1, 1, 1, -1], (2_000, 1))
    scores = bundle.scores(rows.astype(np.float32))
    np.testing.assert_allclose(compiled_scores(compiled_policy(bundle), rows.astype(np.float32)), scores, atol=2e-5)


def test_what_serves_needs_no_library_of_training(bundles: dict[str, LoadedBundle]) -> None:
    folders = [str(bundle.folder) for bundle in bundles.values()]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BARE, *folders], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def changed(bundle: LoadedBundle, **fields: object) -> LoadedBundle:
    return replace(bundle, metadata=bundle.metadata.model_copy(update=fields))


def test_a_network_of_other_features_or_actions_is_refused(bundles: dict[str, LoadedBundle]) -> None:
    eviction, ttl = bundles["eviction"], bundles["ttl"]
    with pytest.raises(BundleError, match="features are not those of this program"):
        compiled_policy(changed(eviction, features=eviction.metadata.features[1:]))
    with pytest.raises(BundleError, match="cannot be compiled"):
        compiled_policy(replace(eviction, module=ttl.module))
    assert ttl.metadata.actions is not None
    fewer = ttl.metadata.actions.model_copy(update={"lifetimes_s": ttl.metadata.actions.lifetimes_s[1:]})
    with pytest.raises(BundleError, match="it scores 4 actions, and the bundle describes 3"):
        compiled_policy(changed(ttl, actions=fewer))


def test_a_network_that_transforms_in_another_way_is_refused(bundles: dict[str, LoadedBundle], tmp_path: Path) -> None:
    bundle = load_bundle(bundles["eviction"].folder)
    bundle.module.is_log2.fill_(False)
    with pytest.raises(BundleError, match="transforms features in another way"):
        compiled_policy(bundle)


@pytest.mark.parametrize("decision", CONFIGS)
def test_a_compiled_network_that_does_not_give_the_golden_scores_is_refused(
    decision: str, bundles: dict[str, LoadedBundle]
) -> None:
    bundle = bundles[decision]
    scores = bundle.golden.scores.copy()
    scores[3, 1] += 0.01
    with pytest.raises(BundleError, match=r"the compiled network against golden\.json: state 3, score 1 is "):
        compiled_policy(replace(bundle, golden=bundle.golden._replace(scores=scores)))
