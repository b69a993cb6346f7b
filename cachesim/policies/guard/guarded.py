"""Guarded: follow the best of LRU, S3-FIFO, 2Q and a trained network, as far as the requests so far can tell.

Each of the four runs as a shadow of full size, which holds names and no content: the state of that policy, driven by
its own kernels, so that it decides as it would alone. The cache follows the shadow that leads (module `race` says
which): what the leader does not hold is not stored, and room is made by what the leader does not hold. After a
switch the two agree again as objects come and go; a victim is the oldest of a few drawn from those that the leader
does not hold.

All shadows see each request. One that misses fetches what the cache fetched, or what the cache held. Each lets its
copies expire by itself; an object that is taken out leaves the cache and all shadows.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cachesim.compiled import inner_kernel
from cachesim.objective import BUILT_IN, Objective, unweighted
from cachesim.policies import learned, lru, s3_fifo, two_q
from cachesim.policies.guard.following import (
    Following,
    appraise,
    begin_following,
    complete,
    holds,
    leader_holds,
    note,
    store,
    turn,
    victim,
    withdraw,
)
from cachesim.policies.guard.race import LEADER, SWITCHES, judge, new_race
from cachesim.policies.parts.ledger import (
    REJECTIONS,
    Ledger,
    admissible,
    book_admission,
    book_eviction,
    book_removal,
    empty_ledger,
    hits,
    is_full,
    outlived,
    residents,
)
from cachesim.policies.parts.loop import kernels_with
from cachesim.requests import Requests, one_request
from schemas.errors import ConfigError

SHADOWS = ("lru", "s3-fifo", "2q", "learned")
LRU, S3_FIFO, TWO_Q, LEARNED = range(len(SHADOWS))
ALL_SHADOWS = 2 ** len(SHADOWS) - 1
FIRST_LEADER = S3_FIFO


class Shadows(NamedTuple):
    """The states of the policies that the cache may follow."""

    lru: lru.State
    s3_fifo: s3_fifo.State
    two_q: two_q.State
    learned: learned.State


class Work(NamedTuple):
    """One request to write to, and the same memory as the kernels take it."""

    row: Requests
    shown: Requests


class State(NamedTuple):
    """The ledger of the cache, whom it follows, the shadows, whose ledgers note who left, and working memory."""

    ledger: Ledger
    following: Following
    shadows: Shadows
    work: Work


def start(
    n_keys: int,
    limit: int,
    *,
    objective: Objective | None = None,
    trained_requests: int = 0,
    seed: int = 0,
    **options: Any,
) -> State:
    """Return an empty cache.

    Args:
        n_keys: keys are codes in [0, n_keys).
        limit: what the residents' charges may sum to.
        objective: what a hit is worth, see `objective.fit_objective`; 1 each when unset.
        trained_requests: how many of the first requests the network was trained on, as in an evaluation. What it hits
            there proves nothing: it takes part in the race after them.
        seed: the same seed draws the same candidates and victims.
        options: of `learned.start`.

    Raises:
        ConfigError: `objective` is for other feature columns, or `learned.start` refuses the options.
    """
    network = learned.start(n_keys, limit, seed=seed, **options)
    columns = network.history.missing.size - 1
    objective = unweighted(columns) if objective is None else objective
    if objective.weight.size != len(BUILT_IN) + columns:
        raise ConfigError(
            f"the objective is for {objective.weight.size - len(BUILT_IN)} feature columns, the network takes {columns}"
        )
    left, left_size = np.zeros(n_keys, np.int64), np.zeros(1, np.int64)  # emptied after each call, so one serves all
    shadows = (lru.start(n_keys, limit), s3_fifo.start(n_keys, limit), two_q.start(n_keys, limit), network)
    noting: list[Any] = [s._replace(ledger=s.ledger._replace(left=left, left_size=left_size)) for s in shadows]
    entry = [trained_requests if name == "learned" else 0 for name in SHADOWS]
    race = new_race(entry, FIRST_LEADER, options["capacity_objects"], float(network.stride[0]))
    return State(
        ledger=empty_ledger(n_keys, limit),
        following=begin_following(n_keys, race, objective, seed),
        shadows=Shadows(*noting),
        work=Work(*one_request(columns)),
    )


@inner_kernel
def _serve(ledger: Ledger, following: Following, shadows: Shadows, requests: Requests, i: int) -> None:
    """Let each shadow serve request i."""
    key, hit = requests.key[i], following.race.hit
    hit[LRU] = lru.access(shadows.lru, requests, i)
    note(following, ledger, LRU, shadows.lru.ledger, key)
    hit[S3_FIFO] = s3_fifo.access(shadows.s3_fifo, requests, i)
    note(following, ledger, S3_FIFO, shadows.s3_fifo.ledger, key)
    hit[TWO_Q] = two_q.access(shadows.two_q, requests, i)
    note(following, ledger, TWO_Q, shadows.two_q.ledger, key)
    hit[LEARNED] = learned.access(shadows.learned, requests, i)
    note(following, ledger, LEARNED, shadows.learned.ledger, key)


@inner_kernel
def _fetch(ledger: Ledger, following: Following, shadows: Shadows, requests: Requests, i: int) -> None:
    """Let each shadow that does not hold what request i fetched admit it, if it wants."""
    key = requests.key[i]
    if not holds(following, LRU, key):
        lru.admit(shadows.lru, requests, i)
        note(following, ledger, LRU, shadows.lru.ledger, key)
    if not holds(following, S3_FIFO, key):
        s3_fifo.admit(shadows.s3_fifo, requests, i)
        note(following, ledger, S3_FIFO, shadows.s3_fifo.ledger, key)
    if not holds(following, TWO_Q, key):
        two_q.admit(shadows.two_q, requests, i)
        note(following, ledger, TWO_Q, shadows.two_q.ledger, key)
    if not holds(following, LEARNED, key):
        learned.admit(shadows.learned, requests, i)
        note(following, ledger, LEARNED, shadows.learned.ledger, key)


@inner_kernel
def access(state: State, requests: Requests, i: int) -> bool:
    """Serve request i if its object is resident; return whether it hit."""
    key, ledger, following = requests.key[i], state.ledger, state.following
    if outlived(ledger, requests, i):
        withdraw(following, key)
        book_removal(ledger, key)
    hit = hits(ledger, key)
    appraise(following, ledger, requests, i)
    _serve(ledger, following, state.shadows, requests, i)
    if hit and following.holders[key] != ALL_SHADOWS:
        complete(following, ledger, requests, i, state.work.row)
        for shown in range(state.work.shown.key.size):  # the one; for a 0 that is spelt out all would compile again
            _fetch(ledger, following, state.shadows, state.work.shown, shown)
    if judge(following.race, following.value[key]):
        turn(following)
    return bool(hit)


@inner_kernel
def admit(state: State, requests: Requests, i: int) -> bool:
    """Store what request i fetched, if the leader did; return whether it was stored."""
    key, ledger, following = requests.key[i], state.ledger, state.following
    appraise(following, ledger, requests, i)
    _fetch(ledger, following, state.shadows, requests, i)
    if not admissible(ledger, requests, i):
        return False
    if not leader_holds(following, key):
        ledger.counts[REJECTIONS] += 1
        return False
    while is_full(ledger, requests.charge[i]):
        gone = victim(following, ledger)
        withdraw(following, gone)
        book_eviction(ledger, gone)
    store(following, requests, i)
    book_admission(ledger, requests, i)
    return True


@inner_kernel
def remove(state: State, key: int) -> None:
    """Take the resident `key` out, of the shadows too."""
    ledger, following, shadows = state.ledger, state.following, state.shadows
    withdraw(following, key)
    book_removal(ledger, key)
    if holds(following, LRU, key):
        lru.remove(shadows.lru, key)
        note(following, ledger, LRU, shadows.lru.ledger, key)
    if holds(following, S3_FIFO, key):
        s3_fifo.remove(shadows.s3_fifo, key)
        note(following, ledger, S3_FIFO, shadows.s3_fifo.ledger, key)
    if holds(following, TWO_Q, key):
        two_q.remove(shadows.two_q, key)
        note(following, ledger, TWO_Q, shadows.two_q.ledger, key)
    if holds(following, LEARNED, key):
        learned.remove(shadows.learned, key)
        note(following, ledger, LEARNED, shadows.learned.ledger, key)


def knows(state: State, codes: slice) -> NDArray[np.bool_]:
    """Return which objects of a slice of codes the state says something about: the cache or any of the shadows."""
    known: NDArray[np.bool_] = residents(state.ledger, codes)
    for kernels, shadow in zip((lru, s3_fifo, two_q, learned), state.shadows, strict=True):
        known = known | kernels.knows(shadow, codes)
    return known


@dataclass(frozen=True)
class Leadership:
    """Whom the cache followed.

    Attributes:
        leader: name of the policy that it follows at the end.
        requests_led: for how many requests it followed each policy.
        switches: how often it changed over.
    """

    leader: str
    requests_led: dict[str, int]
    switches: int

    def __sub__(self, earlier: "Leadership") -> "Leadership":
        """Return whom the cache followed since."""
        led = {name: requests - earlier.requests_led[name] for name, requests in self.requests_led.items()}
        return Leadership(self.leader, led, self.switches - earlier.switches)


def leadership(state: State) -> Leadership:
    """Return whom the cache followed so far."""
    race = state.following.race
    led = dict(zip(SHADOWS, race.led.tolist(), strict=True))
    return Leadership(SHADOWS[race.counts[LEADER]], led, int(race.counts[SWITCHES]))


replay, steps = kernels_with(globals())
