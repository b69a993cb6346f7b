"""Traffic profiles: made-up requests to objects that are numbered from 0, each hard for a cache in a way of its own.

A profile says when requests arrive and what they ask for. What is common to all of them: with clients, a client asks
again for what it has asked shortly before; contents change, the more often the more an object is asked for; an object
has a size, which changes with its content only, and a time to load. The seed decides everything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cachesim.traffic.energy import DAY_S, FIRST_DAY, HOUR_S, hourly_rates, object_normals, zipf_ranks
from schemas.errors import ConfigError
from schemas.trace import FloatArray, IntArray

PROFILES_VERSION = 1  # raise it whenever the same plan would give other traffic
AGAIN_SHARE = 0.3  # of a client's requests, which ask again for what it asked before
AGAIN_WITHIN = 5.0  # mean distance of those, in requests of that client
CROWD_SHARE = 0.3  # of all requests, those of the crowd
CROWD_WINDOW = (0.5, 0.6)  # when the crowd asks, as shares of the time
CROWD_OBJECTS = 10  # that it asks for
DRIFT_SHARE = 0.5  # of the objects, those that are the most popular one at some time
FEW_CHANGES, MANY_CHANGES = 0.01, 1.0  # of contents, a request
MEDIAN_BYTES, BYTES_SPREAD, CHANGE_SPREAD = 2_000.0, 1.0, 0.1
MEDIAN_LOAD_MS, LOAD_SPREAD, LOAD_NOISE = 40.0, 0.5, 0.15


@dataclass(frozen=True)
class Plan:
    """How much traffic a profile is to make.

    Attributes:
        requests: how many, >= 1.
        duration_s: the time they take, > 0; they start at midnight of `FIRST_DAY`.
        objects: how many there are to ask for, >= 1.
        clients: how many ask, >= 1; None: nobody asks again on purpose.
        exponent: the popularity of rank i goes as i**-exponent, >= 0.
        seed: >= 0.
    """

    requests: int
    duration_s: float
    objects: int
    clients: int | None = None
    exponent: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.requests, self.objects, 1 if self.clients is None else self.clients) < 1 or self.duration_s <= 0:
            raise ConfigError(f"requests, objects and clients must be >= 1 and the duration > 0 s, got {self}")
        if self.exponent < 0 or self.seed < 0:
            raise ConfigError(f"exponent and seed must be >= 0, got {self.exponent:g} and {self.seed}")


@dataclass(frozen=True)
class ProfileTraffic:
    """Columns of equal length, in time order.

    Attributes:
        timestamp_us: int64, microseconds since 1970 UTC, never falling.
        object: int64, in [0, objects).
        size_bytes: int64, >= 1; of an object it changes only with its version.
        load_time_ms: float64, > 0.
        origin_version: int64, >= 0, how often the content of the object has changed so far.
    """

    timestamp_us: IntArray
    object: IntArray
    size_bytes: IntArray
    load_time_ms: FloatArray
    origin_version: IntArray


class Asked(NamedTuple):
    """When, in sorted seconds from 0 to below the duration, and for which object."""

    time_s: FloatArray
    object: IntArray


def zipf(plan: Plan, rng: np.random.Generator) -> Asked:
    """Popularity that stays: object i is asked for in proportion to (1 + i)**-exponent, at a steady rate."""
    objects = zipf_ranks(plan.requests, plan.objects, plan.exponent, rng)
    return _with_sessions(Asked(_steady_s(plan.requests, plan, rng), objects), plan, rng)


def uniform(plan: Plan, rng: np.random.Generator) -> Asked:
    """No popularity at all: each object is as likely as any other, and without clients the past tells nothing."""
    objects = rng.integers(0, plan.objects, plan.requests)
    return _with_sessions(Asked(_steady_s(plan.requests, plan, rng), objects), plan, rng)


def flash_crowd(plan: Plan, rng: np.random.Generator) -> Asked:
    """A crowd that comes and goes: Zipf, and in a tenth of the time many more requests, for ten unpopular objects.

    The crowd makes `CROWD_SHARE` of all requests, within `CROWD_WINDOW`.
    """
    crowd = int(CROWD_SHARE * plan.requests)
    begin, end = CROWD_WINDOW
    crowd_time_s = (begin + (end - begin) * rng.random(crowd)) * plan.duration_s
    crowd_objects = plan.objects - 1 - zipf_ranks(crowd, min(CROWD_OBJECTS, plan.objects), plan.exponent, rng)
    others = plan.requests - crowd
    time_s = np.concatenate([_steady_s(others, plan, rng), crowd_time_s])
    objects = np.concatenate([zipf_ranks(others, plan.objects, plan.exponent, rng), crowd_objects])
    order = np.argsort(time_s, kind="stable")
    return _with_sessions(Asked(time_s[order], objects[order]), plan, rng)


def scan(plan: Plan, rng: np.random.Generator) -> Asked:
    """Walks in order: each client asks for every object once, from a place of its own, and then begins again.

    The bane of LRU, which drops each object just before it is asked for again. Without clients it is one walk.
    """
    clients = plan.clients or 1
    client = rng.integers(0, clients, plan.requests)
    order = np.argsort(client, kind="stable")
    objects = np.empty(plan.requests, np.int64)
    objects[order] = (client[order] * plan.objects // clients + _steps(client[order])) % plan.objects
    return Asked(_steady_s(plan.requests, plan, rng), objects)


def drift(plan: Plan, rng: np.random.Generator) -> Asked:
    """Popularity that moves, as of news: one object after another becomes the most popular one, then cools down.

    In the whole time `DRIFT_SHARE` of the objects have their turn; among those of a moment popularity is Zipf.
    """
    time_s = _steady_s(plan.requests, plan, rng)
    newest = (time_s / plan.duration_s * DRIFT_SHARE * plan.objects).astype(np.int64)
    objects = (newest - zipf_ranks(plan.requests, plan.objects, plan.exponent, rng)) % plan.objects
    return _with_sessions(Asked(time_s, objects), plan, rng)


def diurnal(plan: Plan, rng: np.random.Generator) -> Asked:
    """Zipf, at a rate that follows the hours of the day (UTC) and, over more than five days, the week."""
    rates = hourly_rates(int(np.ceil(plan.duration_s / DAY_S)))
    hours_s = np.arange(rates.size + 1) * float(HOUR_S)
    cumulative = np.concatenate([[0.0], np.cumsum(rates)])
    drawn = np.sort(rng.random(plan.requests)) * np.interp(plan.duration_s, hours_s, cumulative)
    objects = zipf_ranks(plan.requests, plan.objects, plan.exponent, rng)
    return _with_sessions(Asked(np.interp(drawn, cumulative, hours_s), objects), plan, rng)


class Profile(NamedTuple):
    """What requests ask for, and how often contents change, in changes a request."""

    ask: Callable[[Plan, np.random.Generator], Asked]
    changes: float = FEW_CHANGES


PROFILES = {
    "zipf": Profile(zipf),
    "uniform": Profile(uniform),
    "flash-crowd": Profile(flash_crowd),
    "write-heavy": Profile(zipf, MANY_CHANGES),
    "scan": Profile(scan),
    "drift": Profile(drift),
    "diurnal": Profile(diurnal),
}


def profile_traffic(name: str, plan: Plan) -> ProfileTraffic:
    """Return the traffic of the profile `name`, one of `PROFILES`; the same arguments give the same traffic."""
    profile = PROFILES[name]
    rng = np.random.default_rng([PROFILES_VERSION, *name.encode(), plan.seed])
    asked = profile.ask(plan, rng)
    version = _versions(asked, round(profile.changes * plan.requests), plan.duration_s, rng)
    shape, slowness = object_normals([asked.object], plan.seed)
    change, _ = object_normals([asked.object, version], plan.seed)
    size_bytes = MEDIAN_BYTES * np.exp(BYTES_SPREAD * shape + CHANGE_SPREAD * change)
    noise = LOAD_NOISE * rng.standard_normal(plan.requests)
    return ProfileTraffic(
        timestamp_us=FIRST_DAY * DAY_S * 1_000_000 + np.floor(asked.time_s * 1e6).astype(np.int64),
        object=asked.object,
        size_bytes=np.maximum(1, np.rint(size_bytes)).astype(np.int64),
        load_time_ms=MEDIAN_LOAD_MS * np.exp(LOAD_SPREAD * slowness + noise),
        origin_version=version,
    )


def _steady_s(count: int, plan: Plan, rng: np.random.Generator) -> FloatArray:
    """Sorted arrival times of a Poisson process, given how many there are."""
    return np.sort(rng.random(count)) * plan.duration_s


def _with_sessions(asked: Asked, plan: Plan, rng: np.random.Generator) -> Asked:
    """Let each client ask again, now and then, for what it itself asked for shortly before."""
    if plan.clients is None:
        return asked
    client = rng.integers(0, plan.clients, plan.requests)
    order = np.argsort(client, kind="stable")  # by client, the requests of each in time order
    again = rng.random(plan.requests) < AGAIN_SHARE
    back = np.minimum(rng.geometric(1 / AGAIN_WITHIN, plan.requests), _steps(client[order]))
    objects = np.empty_like(asked.object)
    objects[order] = asked.object[order[np.arange(plan.requests) - np.where(again, back, 0)]]
    return Asked(asked.time_s, objects)


def _steps(group: IntArray) -> IntArray:
    """Number the members of each group from 0; `group` is sorted."""
    index = np.arange(group.size)
    first = np.concatenate([[True], group[1:] != group[:-1]])
    return index - np.maximum.accumulate(np.where(first, index, 0))


def _versions(asked: Asked, changes: int, duration_s: float, rng: np.random.Generator) -> IntArray:
    """How often the object of each request has changed before it.

    A change is at any time, of the object of a request that is drawn at random: popular contents change most.
    """
    changed = asked.object[rng.integers(0, asked.object.size, changes)]
    objects = np.concatenate([changed, asked.object])
    time_s = np.concatenate([duration_s * rng.random(changes), asked.time_s])
    is_change = np.arange(objects.size) < changes
    order = np.lexsort((time_s, objects))
    so_far = np.cumsum(is_change[order])
    before: IntArray = so_far - is_change[order]
    first = np.concatenate([[True], np.diff(objects[order]) != 0])
    counted = np.empty(objects.size, np.int64)
    counted[order] = so_far - np.maximum.accumulate(np.where(first, before, 0))
    return counted[changes:]
