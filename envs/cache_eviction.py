"""The Gymnasium environment `ers/CacheEviction-v0`."""

from typing import Any

import gymnasium as gym
import numpy as np

from cachesim.capacity import Capacity
from cachesim.eviction.caches import build_stream
from cachesim.eviction.decisions import Decisions, build_oracle
from cachesim.features.table import Float32Array, feature_table
from cachesim.replay import lru_eviction_age_requests
from envs.defaults import problem_of
from schemas.errors import ConfigError
from schemas.trace import FloatArray, Trace


class CacheEvictionEnv(gym.Env[Float32Array, np.int64]):
    """Which object shall a full cache drop? Sampled eviction on recorded requests.

    ## Action space
    `Discrete(k)`: which candidate to drop. Candidate 0 is the incoming object (dropping it is not admitting it), the
    others are random residents.

    ## Observation space
    `Box(k, f)`, float32, one row a candidate, raw values:

    | number | name | unit | min | max |
    |---|---|---|---|---|
    | 0 | age | requests | 0 | inf |
    | 1 | time_in_cache | requests | 0 | inf |
    | 2 | cache_hit_ratio | 1 | 0 | 1 |
    | 3-6 | gap_1 to gap_4 | requests | -1 (missing) | inf |
    | 7-10 | count_0.25c, count_2c, count_16c, count_128c | requests | 0 | inf |
    | 11 | size_bytes | bytes | 0 | inf |
    | 12 | load_time_ms | ms | 0 | inf |
    | 13 | endpoint_log2_gap | log2(requests) | 0 | inf |
    | 14 | endpoint_new_share | 1 | 0 | 1 |
    | 15- | the chosen columns of the trace | as recorded | -inf | inf |

    `cachesim.features.table.FEATURES` defines each.

    ## Reward
    r = mean_j c_j - c_action, where c_j = w_j / (1 + d_j / half): d_j is the distance in requests to the candidate's
    next request within the trace (c_j = 0 when there is none), w_j what a hit on it is worth per unit of capacity, and
    half 0.03 times the mean age at eviction under LRU. The reward holds the decision's whole consequence, so a
    discount of 0 fits.

    ## Start
    An empty cache at the first request; the first observation is the first miss that does not fit.

    ## Termination and truncation
    Never terminated. Truncated where the rewards would need requests after the end of the trace: 0.6 mean ages
    before it.

    ## Arguments
    - `trace`: the requests; by default 20,000 synthetic ones of an energy data API.
    - `capacity`: of the cache; by default 1 % of the distinct keys.
    - `candidates`: k, >= 2; by default 16.
    - `weights`: what a hit is worth, column to weight; by default every hit counts 1.

    ## Version history
    - v0: first version.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own convention)

    def __init__(
        self,
        trace: Trace | None = None,
        capacity: Capacity | None = None,
        candidates: int = 16,
        weights: dict[str, float] | None = None,
    ) -> None:
        if candidates < 2:
            raise ConfigError(f"candidates must be >= 2, got {candidates}")
        trace, capacity, values = problem_of(trace, capacity, weights)
        self._decisions = _decisions(trace, capacity, candidates, values)
        table = feature_table(trace.column_names)
        low = np.tile(np.array([feature.low for feature in table], np.float32), (candidates, 1))
        high = np.tile(np.array([feature.high for feature in table], np.float32), (candidates, 1))
        self.observation_space = gym.spaces.Box(low, high, dtype=np.float32)
        self.action_space = gym.spaces.Discrete(candidates)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Empty the cache and go to the first decision."""
        super().reset(seed=seed)
        self._decisions.reseed(int(self.np_random.integers(2**31)))
        return self._decisions.reset()[0].copy(), {}

    def step(self, action: np.int64) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """Drop the candidate `action` and go on to the next decision."""
        costs = self._decisions.costs[0]
        reward = float(costs.mean() - costs[action])
        truncated = bool(self._decisions.step(np.array([action]))[0])
        return self._decisions.rows[0].copy(), reward, False, truncated, {}


def _decisions(trace: Trace, capacity: Capacity, candidates: int, values: FloatArray) -> Decisions:
    stream = build_stream(trace, capacity, len(trace))
    oracle = build_oracle(trace, capacity, values, lru_eviction_age_requests(trace, capacity))
    decisions = Decisions(stream, oracle, trace.n_keys, batch=1, candidates=candidates, seed=0)
    decisions.start_empty()
    return decisions
