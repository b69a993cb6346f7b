"""Decisions on misses, on recorded requests: whole replays with a network in charge, samples to learn from, and steps.

A `cachesim.miss.problem.Setting` says which decision is taken.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import kernel
from cachesim.eviction.caches import remembered_keys
from cachesim.eviction.decisions import Oracle, blind_oracle, build_oracle, require_repeats
from cachesim.features.fetches import MISSING_S, empty_fetches
from cachesim.features.history import empty_history
from cachesim.features.table import HISTORY_WIDTH, Float32Array, Normaliser, fit_to, transform
from cachesim.miss.decider import Decider, workspace
from cachesim.miss.kernels import Log, Memory, Terms, admission_reward, miss_kernels
from cachesim.miss.problem import Setting
from cachesim.miss.ttl_rewards import life_rewards
from cachesim.policies.parts.ledger import NOW
from cachesim.replay import begin, lru_eviction_age_requests
from cachesim.requests import Requests, fixed
from cachesim.structures.random_numbers import random_states
from schemas.trace import FloatArray, IntArray


@dataclass
class _Running:
    """A cache on its way, and the arguments that its kernels share; `lifetime_s` holds the decisions."""

    state: Any
    memory: Memory
    terms: Terms
    requests: Requests
    versions: IntArray
    lifetime_s: FloatArray
    hit: NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Make `lifetime_s` what the kernels read; all that they only read must be read-only, see `fixed`."""
        self.requests = Requests(*(fixed(column) for column in self.requests._replace(lifetime_s=self.lifetime_s)))
        self.versions = fixed(self.versions)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()  # a copy of an array neither shares memory nor is read-only

    @property
    def arguments(self) -> tuple[Any, ...]:
        return self.state, self.memory, self.terms, self.requests, self.versions


def _start(setting: Setting, seed: int, position: int = 0) -> _Running:
    """Return an empty cache before the request at `position`."""
    trace, stride = setting.trace, 1 / setting.key_sample
    objects = setting.fitted.objects
    state = begin(trace, setting.eviction, setting.capacity, seed)
    state = state._replace(ledger=state.ledger._replace(left=np.zeros(trace.n_keys, np.int64)))
    state.ledger.counts[NOW] = position - 1
    endpoints, known = len(trace.endpoint_names), trace.n_keys if setting.every_miss else 0
    history = empty_history(
        trace.n_keys,
        endpoints,
        objects * stride,
        remembered_keys(objects, setting.history_multiple),
        setting.fitted.missing,
    )
    fetches = empty_fetches(known, endpoints if setting.every_miss else 0)
    memory = Memory(history, fetches, np.array([0.0, objects * stride]))
    history_at = len(setting.features) - HISTORY_WIDTH - len(trace.column_names)
    terms = Terms(setting.ladder_s, int(setting.every_miss), stride, history_at)
    versions = np.zeros(0, np.int64) if trace.version is None else trace.version
    lifetime_s = np.full(len(trace), setting.ladder_s[-1])  # of what is not decided; the decisions are written over it
    charge = setting.capacity.charges(trace)
    facts = (trace.size_bytes, trace.load_time_ms, trace.endpoint, trace.columns)
    requests = Requests(trace.key, trace.key, charge, trace.timestamp_s, lifetime_s, *facts)
    return _Running(state, memory, terms, requests, versions, lifetime_s, np.zeros(len(trace), np.bool_))


@dataclass(frozen=True)
class Decided:
    """What became of n requests.

    Attributes:
        hit: bool (n,), which ones hit.
        lifetime_s: float64 (n,), what each miss was given; without meaning at hits.
    """

    hit: NDArray[np.bool_]
    lifetime_s: FloatArray


def replay_decided(setting: Setting, decider: Decider, seed: int = 0) -> Decided:
    """Send the requests through an empty cache with the network in charge."""
    return _run(setting, decider, seed, _log(0, 1, 0.0, -1, seed), blind_oracle(len(setting.trace)))


def _log(size: int, n_features: int, share: float, forced: int, seed: int) -> Log:
    rows, at = np.zeros((size, n_features), np.float32), np.zeros(size, np.int64)
    return Log(share, forced, rows, at, np.zeros(size), np.zeros(1, np.int64), random_states(seed, 1))


def _run(setting: Setting, decider: Decider, seed: int, log: Log, oracle: Oracle) -> Decided:
    running = _start(setting, seed)
    kernels = miss_kernels(setting.eviction)
    kernels.run(*running.arguments, running.lifetime_s, decider, workspace(decider), oracle, running.hit, log)
    return Decided(running.hit, running.lifetime_s)


@dataclass(frozen=True)
class Contexts:
    """Decisions that a cache met, each with what every action would have brought.

    Attributes:
        rows: float32 (m, f), raw features.
        rewards: float32 (m, actions).
        hit: bool (n,), which requests of the span hit in the replay that met them.
    """

    rows: Float32Array
    rewards: Float32Array
    hit: NDArray[np.bool_]


@dataclass
class Future:
    """What the recorded span knows of its own future; nothing behind the span is looked at.

    Args:
        setting: whose whole trace is the span.

    Raises:
        GateError: nothing is requested twice, or decision admission, and the cache evicts nothing on the span.
    """

    setting: Setting
    oracle: Oracle = field(init=False)
    lives: Float32Array = field(init=False)

    def __post_init__(self) -> None:
        setting = self.setting
        span, capacity = setting.trace, setting.capacity
        kept = lru_eviction_age_requests(span, capacity)
        if setting.decision == "ttl":
            require_repeats(span)
            self.oracle = blind_oracle(len(span))
            self.lives = life_rewards(span, setting.values, kept, setting.ladder_s, setting.staleness_weight)
        else:
            # What is admitted and what leaves for it take about the same space, so that whole values compare.
            self.oracle = build_oracle(span, capacity, setting.values, kept)._replace(worth=setting.values)

    def contexts(self, decider: Decider, share: float, most: int, seed: int, end: int | None = None) -> Contexts:
        """Replay the span with the network in charge and note a random sample of the decisions that it meets.

        An admission can be judged only where it takes place, as only then it shows who has to leave. So the objects of
        the sample are admitted, whatever the network says.

        Args:
            decider: the network.
            share: of the decisions, in (0, 1].
            most: of them that are noted.
            seed: of the draws.
            end: the decisions before this position of the span are returned; None = all.
        """
        setting, admits = self.setting, self.setting.decision == "admission"
        log = _log(most, len(setting.features), share, 1 if admits else -1, seed)
        hit = _run(setting, decider, seed, log, self.oracle).hit
        at = log.at[: log.size[0]]
        at = at[at < min(self.oracle.end, len(hit) if end is None else end)]
        rewards = np.stack([np.zeros(at.size), log.reward[: at.size]], axis=1) if admits else self.lives[at]
        return Contexts(log.rows[: at.size], rewards.astype(np.float32), hit)


def fit_decisions(rows: Float32Array, setting: Setting) -> Normaliser:
    """Fit transform and standardisation to raw feature rows (m, f) of the training span."""
    objects = setting.fitted.objects / setting.key_sample
    missing = {"s": MISSING_S, "requests": 64 * objects}
    return fit_to(rows, setting.features, np.array([missing.get(f.unit, 0.0) for f in setting.features]))


def seen_by(normaliser: Normaliser, rows: Float32Array) -> Float32Array:
    """Return raw feature rows (m, f) as the network sees them."""
    seen = np.array(rows, np.float32)
    _transform_rows(seen, normaliser)
    return seen


@kernel
def _transform_rows(rows, normaliser):  # type: ignore[no-untyped-def]
    for j in range(rows.shape[0]):
        transform(rows[j], normaliser)


class Steps:
    """A cache that waits for one decision at a time, on a recorded span.

    Attributes:
        row: float32 (f,), raw features of the miss that is to be decided.
    """

    def __init__(self, setting: Setting) -> None:
        self.future = Future(setting)
        self.setting = setting
        self.row = np.zeros(len(setting.features), np.float32)
        self._at = len(setting.trace)

    def reset(self, seed: int, position: int) -> bool:
        """Empty the cache, and go to the first decision at or behind `position`; return whether there is one."""
        self._running = _start(self.setting, seed, position)
        return self._advance(position)

    def step(self, action: int) -> float:
        """Take an action, and return its reward; `advance` goes on from there."""
        running, kernels, i = self._running, miss_kernels(self.setting.eviction), self._at
        running.lifetime_s[i] = self.setting.ladder_s[action]
        admitted = kernels.settle(running.state, running.memory, running.terms, running.requests, i)
        if self.setting.decision == "ttl":
            return float(self.future.lives[i, action])
        return float(admission_reward(running.state.ledger, self.future.oracle, i, admitted))

    def advance(self) -> bool:
        """Go on to the next decision; return whether there is one that can be judged."""
        return self._advance(self._at + 1)

    def _advance(self, position: int) -> bool:
        kernels, running = miss_kernels(self.setting.eviction), self._running
        self._at = kernels.advance(*running.arguments, position, self.row, running.hit)
        return bool(self._at < min(self.future.oracle.end, len(self.setting.trace)))
