"""What a learned decision is compared with: classical policies, or fixed times to live; and what none can exceed."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from cachesim.analysis.bounds import bound_score
from cachesim.analysis.metrics import Score
from cachesim.miss.problem import Setting
from cachesim.miss.ttl_rewards import best_fixed, require_versions, visits_of
from cachesim.replay import BASELINES, BOUNDS, replay
from learning.problem import CacheProblem
from learning.run_policy import Hits
from schemas.trace import FloatArray, IntArray, Trace

Replay = Callable[[], Hits]
LRU, BY_ENDPOINT = "lru", "ttl by endpoint"
FINER = 3  # fixed times to live that are tried between two of the ladder


def best_of(baselines: Mapping[str, Score]) -> str:
    """Return the name of the highest value ratio, the first of equals."""
    return max(baselines, key=lambda name: baselines[name].value_ratio or 0.0)


def reference_name(problem: CacheProblem) -> str:
    """Return the baseline that the gap to the bound begins at: LRU; of ttl the eviction without times to live."""
    setting = _lives_of(problem)
    return setting.eviction if setting else LRU


def classical_replays(problem: CacheProblem) -> dict[str, Replay]:
    """Return the baselines, by name: each gives which requests of the whole trace hit, bool (n,).

    Of eviction and admission these are the classical policies. Of ttl they have the same eviction: without times to
    live, under its own name; with fixed ones, "ttl <seconds> s", see `finer`; with each endpoint's best one on the
    training span.
    """
    setting = _lives_of(problem)
    if setting is None:
        return {name: partial(_replay, problem, name) for name in BASELINES}
    fixed = {_ttl_name(setting, s): partial(_replay, problem, setting.eviction, s) for s in finer(setting.ladder_s)}
    return {**fixed, BY_ENDPOINT: lambda: _replay_by_endpoint(problem, setting)}


def worth_showing(problem: CacheProblem, baselines: Mapping[str, Score]) -> dict[str, Score]:
    """Return the scores of the baselines, of fixed times to live those of the ladder and the best of all."""
    setting = _lives_of(problem)
    if setting is None:
        return dict(baselines)
    best = best_of({name: found for name, found in baselines.items() if name != BY_ENDPOINT})
    shown = {best, BY_ENDPOINT, *(_ttl_name(setting, ttl_s) for ttl_s in setting.ladder_s.tolist())}
    return {name: found for name, found in baselines.items() if name in shown}


def clairvoyant_replays(problem: CacheProblem) -> dict[str, Replay]:
    """Return the same of the policies that know the future; of ttl none, as they know nothing of versions."""
    return {} if _lives_of(problem) else {name: partial(_replay, problem, name) for name in BOUNDS}


def problem_bound(problem: CacheProblem) -> tuple[str, Score]:
    """Return the name and the score of the bound whose value ratio no policy exceeds on the held-out span.

    Where a stale hit is worth nothing, or less, only those count that find the copy of the very version requested:
    each version of an object is then an object of its own.
    """
    trace = _by_version(problem.trace) if problem.staleness_weight >= 1 else problem.trace
    return bound_score(trace, problem.capacity, problem.held_out, problem.values)


def _by_version(trace: Trace) -> Trace:
    versions: IntArray = np.stack([trace.key, require_versions(trace)])
    known, code = np.unique(versions, axis=1, return_inverse=True)
    return replace(trace, key=code.reshape(-1).astype(np.int64), n_keys=known.shape[1])


def fixed_by_endpoint(problem: CacheProblem, setting: Setting) -> FloatArray:
    """Return for each endpoint the fixed time to live that gains most on the training span, in seconds.

    One that does not occur there is served for as long as the ladder allows.
    """
    span, values = setting.span, setting.values[: setting.training]
    visits = visits_of(span, values, problem.eviction_age_requests)
    chosen: FloatArray = setting.ladder_s[best_fixed(span, visits, setting.ladder_s, setting.staleness_weight)]
    seen = np.bincount(span.endpoint, minlength=chosen.size) > 0
    return np.where(seen, chosen, setting.ladder_s[-1])


def finer(ladder_s: FloatArray) -> list[float]:
    """Return the rungs of a ladder above 0, and `FINER` times to live between each two of them that are finite."""
    rungs: list[float] = ladder_s[ladder_s > 0].tolist()
    for low, high in itertools.pairwise(rungs.copy()):
        if np.isfinite(high):
            rungs += np.geomspace(low, high, FINER + 2)[1:-1].tolist()
    return sorted(rungs)


def _lives_of(problem: CacheProblem) -> Setting | None:
    """Return the setting where times to live are decided."""
    return problem.setting if problem.setting is not None and problem.setting.decision == "ttl" else None


def _replay(problem: CacheProblem, policy: str, ttl_s: float | FloatArray | None = None) -> Hits:
    return replay(problem.trace, policy, problem.capacity, ttl_s=ttl_s).hit


def _replay_by_endpoint(problem: CacheProblem, setting: Setting) -> Hits:
    return _replay(problem, setting.eviction, fixed_by_endpoint(problem, setting)[problem.trace.endpoint])


def _ttl_name(setting: Setting, ttl_s: float) -> str:
    return f"ttl {round(ttl_s, 1):.12g} s" if np.isfinite(ttl_s) else setting.eviction
