"""The Gymnasium environment `ers/CacheAdmission-v0`."""

from cachesim.capacity import Capacity
from cachesim.miss.problem import admission_setting
from envs.defaults import problem_of
from envs.miss_env import MissEnv
from schemas.trace import Trace


class CacheAdmissionEnv(MissEnv):
    """Shall a full cache admit what it has just fetched? A classical policy makes room, on recorded requests.

    ## Action space
    `Discrete(2)`: 0 = do not admit, 1 = admit; the eviction policy then makes room, and may itself refuse.

    ## Observation space
    `Box(f,)`, float32, of the incoming object and the moment, raw values:

    | number | name | unit | min | max |
    |---|---|---|---|---|
    | 0 | cache_hit_ratio | 1 | 0 | 1 |
    | 1 | eviction_age | requests | 0 | inf |
    | 2-5 | gap_1 to gap_4 | requests | -1 (missing) | inf |
    | 6-9 | count_0.25c, count_2c, count_16c, count_128c | requests | 0 | inf |
    | 10 | size_bytes | bytes | 0 | inf |
    | 11 | load_time_ms | ms | 0 | inf |
    | 12 | endpoint_log2_gap | log2(requests) | 0 | inf |
    | 13 | endpoint_new_share | 1 | 0 | 1 |
    | 14- | the chosen columns of the trace | as recorded | -inf | inf |

    `cachesim.miss.kernels.miss_features` defines each.

    ## Reward
    r = c_incoming - sum of c_j over the objects j that left for it; 0 when it is not admitted. c_j = w_j / (1 + d_j /
    half): d_j is the distance in requests to the object's next request within the trace (c_j = 0 when there is
    none), w_j what a hit on it is worth, and half 0.03 times the mean age at eviction under LRU. The reward holds the
    decision's whole consequence, so a discount of 0 fits.

    ## Start
    An empty cache at a random request in the first half of the trace, or at `options={"position": p}`; the first
    observation is the first miss that may enter and needs an eviction. What has room is admitted unasked.

    ## Termination and truncation
    Never terminated. Truncated where the rewards would need requests after the end of the trace: 0.6 mean ages
    before it.

    ## Arguments
    - `trace`: the requests; by default 20,000 synthetic ones of an energy data API.
    - `capacity`: of the cache; by default 1 % of the distinct keys.
    - `eviction`: the policy that makes room, a name in `cachesim.replay.BASELINES`; by default lru.
    - `weights`: what a hit is worth, column to weight; by default every hit counts 1.

    ## Version history
    - v0: first version.
    """

    def __init__(
        self,
        trace: Trace | None = None,
        capacity: Capacity | None = None,
        eviction: str = "lru",
        weights: dict[str, float] | None = None,
    ) -> None:
        trace, capacity, values = problem_of(trace, capacity, weights)
        super().__init__(admission_setting(trace, len(trace), capacity, values, eviction))
