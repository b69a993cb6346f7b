"""What each algorithm reaches on real requests that it has not seen."""

from collections.abc import Callable

import pytest

from learning.evaluation.evaluate import evaluate
from learning.problem import build_problem
from learning.training.train import train
from schemas.options.train import TrainConfig
from schemas.trace import Trace

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("algorithm", ["dqn", "ppo", "a2c"])
def test_the_defaults_beat_every_baseline_on_held_out_requests_of_a_shop(
    algorithm: str, shared_trace: Callable[[str], Trace]
) -> None:
    """On product pages at 1 % of the keys: LRU .408, S3-FIFO .423, 2Q .428, LFU with aging .435, Belady .599."""
    config = TrainConfig(algorithm=algorithm, cache_fraction=0.01)
    problem = build_problem(shared_trace("web12"), config)
    trained = train(problem, config, on_metric=lambda *_: None, on_progress=lambda *_: None)
    evaluation = evaluate(problem, trained.scorer, config.seed)
    assert evaluation.policy.hit_ratio is not None
    assert evaluation.policy.hit_ratio >= 0.45
    assert evaluation.best_baseline == "lfu-aging"
    assert evaluation.gap_closed is not None
    assert 0.2 < evaluation.gap_closed < 1
