"""Learning that goes on: it repeats exactly, looks at nothing to come, and follows traffic that changes."""

import numpy as np
import pytest
import torch

from learning.networks import ScorerNet
from learning.problem import CacheProblem, build_problem
from learning.run_policy import replay_policy
from learning.training.algorithms import LOSS
from learning.training.online import BATCH, OnlineLearner, go_on, replay_online
from learning.training.train import TrainedPolicy, train
from schemas.options.train import Algorithm, TrainConfig
from schemas.trace import Trace

every_algorithm = pytest.mark.parametrize("algorithm", ["dqn", "a2c"])  # online, ppo is what a2c is


def reversed_traffic(n: int = 24_000) -> Trace:
    """What returns in the first half never does in the second, and the other way round: small objects, large ones."""
    rng, half = np.random.default_rng(1), n // 2
    returning = rng.random(n) < 0.5
    late = np.arange(n) >= half
    keys = np.where(returning, rng.integers(0, 100, n) + 100 * late, 200 + np.arange(n))
    small = returning ^ late
    return Trace(
        key=keys.astype(np.int64),
        timestamp_s=np.arange(n, dtype=np.float64),
        size_bytes=np.where(small, 10, 10_000).astype(np.int64),
        load_time_ms=np.full(n, np.nan, np.float32),
        endpoint=np.zeros(n, np.int32),
        n_keys=200 + n,
    )


@pytest.fixture(scope="module")
def changing() -> CacheProblem:
    return build_problem(reversed_traffic(), TrainConfig(cache_size=80, test_fraction=0.5))


@pytest.fixture(scope="module", params=["dqn", "a2c"])
def frozen(request: pytest.FixtureRequest, changing: CacheProblem) -> tuple[TrainConfig, TrainedPolicy]:
    config = TrainConfig(algorithm=request.param, cache_size=80, test_fraction=0.5, timesteps=20_000)
    return config, train(changing, config, lambda *_: None, lambda *_: None)


def online(problem: CacheProblem, config: TrainConfig, policy: TrainedPolicy, seed: int) -> np.ndarray:
    """Replay with some hundred gradient steps, which are enough to see what does not depend on their number."""
    loss = LOSS[config.algorithm]
    return go_on(problem, policy.net, policy.normaliser, loss, problem.held_out, 300, seed).hit


def test_it_follows_traffic_that_turns_around(
    changing: CacheProblem, frozen: tuple[TrainConfig, TrainedPolicy]
) -> None:
    config, policy = frozen
    late = slice(3 * len(changing.trace) // 4, None)
    still = replay_policy(changing, policy.scorer, 0)[late].mean()
    moving = replay_online(changing, policy.net, policy.normaliser, LOSS[config.algorithm], 0)[late].mean()
    assert moving > still + 0.02


def test_it_is_the_frozen_policy_until_the_held_out_span_and_repeats_exactly(
    changing: CacheProblem, frozen: tuple[TrainConfig, TrainedPolicy]
) -> None:
    config, policy = frozen
    before = [parameter.clone() for parameter in policy.net.parameters()]
    first = online(changing, config, policy, 5)
    torch.manual_seed(99)
    np.random.seed(99)
    np.testing.assert_array_equal(first, online(changing, config, policy, 5))
    np.testing.assert_array_equal(
        first[: changing.training], replay_policy(changing, policy.scorer, 5)[: changing.training]
    )
    assert all(torch.equal(old, new) for old, new in zip(before, policy.net.parameters(), strict=True))


def test_what_comes_later_changes_no_earlier_hit(
    changing: CacheProblem, frozen: tuple[TrainConfig, TrainedPolicy]
) -> None:
    """The requests of the last tenth are replaced by others: all that hit before them still does."""
    config, policy = frozen
    cut = 9 * len(changing.trace) // 10
    keys = changing.trace.key.copy()
    keys[cut:] = 200 + np.arange(len(keys) - cut)
    trace = changing.trace
    other = Trace(keys, trace.timestamp_s, trace.size_bytes, trace.load_time_ms, trace.endpoint, trace.n_keys)
    problem = build_problem(other, config)
    first, second = (online(p, config, policy, 0) for p in (changing, problem))
    np.testing.assert_array_equal(first[:cut], second[:cut])
    assert (first[cut:] != second[cut:]).any()


@every_algorithm
def test_a_learner_comes_to_drop_what_is_worth_nothing(algorithm: Algorithm) -> None:
    """Worth is the first feature: after a few steps the candidate of least worth scores highest."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    learner = OnlineLearner(ScorerNet(4), LOSS[algorithm], 0)
    for _ in range(600):
        rows = rng.random((BATCH, 6, 4), np.float32)
        learner.step(rows, rows[:, :, 0].copy())
    rows = rng.random((500, 6, 4), np.float32)
    dropped = learner.serving(torch.from_numpy(rows)).argmax(dim=1).numpy()
    lost = np.take_along_axis(rows[:, :, 0], dropped[:, None], 1) - rows[:, :, 0].min(axis=1, keepdims=True)
    assert lost.mean() < 0.05  # 0.36 at random
