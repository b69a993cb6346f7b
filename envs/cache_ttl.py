"""The Gymnasium environment `ers/CacheTtl-v0`."""

from collections.abc import Sequence

from cachesim.capacity import Capacity
from cachesim.miss.problem import ttl_setting
from cachesim.miss.ttl_rewards import DEFAULT_LADDER_S
from envs.defaults import problem_of
from envs.miss_env import MissEnv
from schemas.trace import Trace


class CacheTtlEnv(MissEnv):
    """For how long shall a cache serve what it has just fetched? Content changes at the origin, unseen by the cache.

    ## Action space
    `Discrete(m)`: which rung of the ladder of times to live; 0 seconds = do not cache, inf = until it is evicted.

    ## Observation space
    `Box(f,)`, float32, of the object that was fetched and the moment, raw values:

    | number | name | unit | min | max |
    |---|---|---|---|---|
    | 0 | cache_hit_ratio | 1 | 0 | 1 |
    | 1 | eviction_age | requests | 0 | inf |
    | 2 | since_request_s | s | -1 (missing) | inf |
    | 3 | since_fetch_s | s | -1 (missing) | inf |
    | 4 | unchanged_s | s | 0 | inf |
    | 5 | known_s | s | 0 | inf |
    | 6 | change_interval_s | s | -1 (missing) | inf |
    | 7 | changed | 1 | -1 (missing) | 1 |
    | 8 | endpoint_change_share | 1 | 0 | 1 |
    | 9 | endpoint_change_interval_s | s | 0 | inf |
    | 10 | endpoint_since_change_s | s | -1 (missing) | inf |
    | 11 | to_full_300_s | s | 0 | 300 |
    | 12 | to_full_3600_s | s | 0 | 3600 |
    | 13 | to_full_86400_s | s | 0 | 86400 |
    | 14-17 | gap_1 to gap_4 | requests | -1 (missing) | inf |
    | 18-21 | count_0.25c, count_2c, count_16c, count_128c | requests | 0 | inf |
    | 22 | size_bytes | bytes | 0 | inf |
    | 23 | load_time_ms | ms | 0 | inf |
    | 24 | endpoint_log2_gap | log2(requests) | 0 | inf |
    | 25 | endpoint_new_share | 1 | 0 | 1 |
    | 26- | the chosen columns of the trace | as recorded | -inf | inf |

    `cachesim.miss.kernels.miss_features` defines each. Versions are seen at fetches alone.

    ## Reward
    r = hits - staleness_weight * stale + potential(next) - potential(this), in units of what the mean hit is worth.
    `hits` and `stale` are the values of the hits on the copy, and of those among them whose version is another than the
    copy's, until its time to live is over or the object is not requested for as many requests as LRU keeps it. The
    potential of a miss is what would follow it within the trace if every fetch of the endpoint got that one time to
    live which gains most; `next` is the object's first miss after this life. So r is what the decision gains over the
    best fixed time to live. It holds the decision's whole consequence, so a discount of 0 fits.

    ## Start
    An empty cache at a random request in the first half of the trace, or at `options={"position": p}`; the first
    observation is the first miss of an object that fits into the cache.

    ## Termination and truncation
    Never terminated. Truncated at the end of the trace.

    ## Arguments
    - `trace`: the requests, with versions; by default 20,000 synthetic ones of an energy data API.
    - `capacity`: of the cache; by default 1 % of the distinct keys.
    - `eviction`: the policy that makes room, a name in `cachesim.replay.BASELINES` but sliding-ttl; by default lru.
    - `ladder_s`: the times to live in seconds, rising from 0 or more; by default
      `cachesim.miss.ttl_rewards.DEFAULT_LADDER_S`.
    - `staleness_weight`: what a stale hit costs, in units of its value; with 1, the default, it is worth nothing.
    - `weights`: what a hit is worth, column to weight; by default every hit counts 1.

    ## Version history
    - v0: first version.
    """

    def __init__(
        self,
        trace: Trace | None = None,
        capacity: Capacity | None = None,
        eviction: str = "lru",
        ladder_s: Sequence[float] = DEFAULT_LADDER_S,
        staleness_weight: float = 1.0,
        weights: dict[str, float] | None = None,
    ) -> None:
        trace, capacity, values = problem_of(trace, capacity, weights)
        super().__init__(ttl_setting(trace, len(trace), capacity, values, eviction, ladder_s, staleness_weight))
