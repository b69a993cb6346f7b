"""The guarded policy: its shadows, its books, whom it follows, and what it never falls below."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachesim.cache import Cache
from cachesim.capacity import Capacity
from cachesim.eviction.decisions import oldest_first
from cachesim.features.table import FEATURES
from cachesim.objective import Objective, fit_objective, unweighted
from cachesim.policies import learned
from cachesim.policies.guard import guarded
from cachesim.policies.guard.following import Following, turn
from cachesim.policies.guard.guarded import SHADOWS, leadership
from cachesim.policies.guard.race import LEADER, SWITCHES
from cachesim.policies.parts.ledger import EVICTIONS, REJECTIONS
from cachesim.replay import begin, replay
from cachesim.requests import Requests, chunks
from cachesim.structures.marked_set import MARKED, MEMBERS
from cachesim.traffic.energy import energy_trace
from schemas.errors import ConfigError
from schemas.trace import Trace
from tests.models import MODELS
from tests.models.base import Request
from tests.models.learned.guarded import Guarded
from tests.models.learned.nets import options, random_net

CAPACITIES = [Capacity(60, "objects"), Capacity(400_000, "bytes")]
every_capacity = pytest.mark.parametrize("capacity", CAPACITIES, ids=lambda c: f"{c.limit}-{c.unit}")
LOAD_TIME = Objective(np.zeros(1), np.array([1.0, 0.0]), np.ones(2))  # in ms, so that sums of whole ms are exact


@pytest.fixture(scope="module")
def trace() -> Trace:
    return energy_trace(6_000, seed=2)


def options_of(objects: float, **others: Any) -> dict[str, Any]:
    return options(objects, others.pop("scorer", None) or random_net(objects), n_endpoints=9, **others)


def steps_of(trace: Trace, capacity: Capacity, ttl_s: Any, **given_options: Any) -> Iterator[tuple[int, bool, Any]]:
    """Yield the state after each request, and whether it hit."""
    state = begin(trace, "guarded", capacity, **given_options)
    for span, requests in chunks(trace, capacity, ttl_s):
        for i in range(requests.key.size):
            hit = bool(guarded.steps.access(state, requests, i))
            if not hit:
                guarded.steps.admit(state, requests, i)
            yield span.start + i, hit, state


@every_capacity
@pytest.mark.parametrize("ttl_s", [np.inf, 2_000.0], ids=["for-ever", "2000-s"])
def test_each_shadow_decides_as_its_policy_does_alone(trace: Trace, capacity: Capacity, ttl_s: float) -> None:
    """Hits at each request, and all that the ledgers count, whoever leads."""
    given_options, hits = options_of(60.0, seed=3), np.zeros((len(trace), len(SHADOWS)), np.bool_)
    for i, _, state in steps_of(trace, capacity, ttl_s, **given_options):
        hits[i] = state.following.race.hit
        state.following.race.least_hits[0] = 0.0
    assert leadership(state).switches > 0
    for p, (name, shadow) in enumerate(zip(SHADOWS, state.shadows, strict=True)):
        alone = replay(trace, name, capacity, ttl_s=ttl_s, **(given_options if name == "learned" else {}))
        np.testing.assert_array_equal(hits[:, p], alone.hit, err_msg=name)
        np.testing.assert_array_equal(shadow.ledger.counts, alone.counts[-1], err_msg=name)


class Compiled:
    """The learned policy, whose own tests compare it with a model, in single steps."""

    def __init__(self, state: learned.State, requests: Requests) -> None:
        self.state, self.requests, self.now = state, requests, -1

    def serve(self, _: Request) -> bool:
        self.now += 1
        hit = bool(learned.steps.access(self.state, self.requests, self.now))
        if not hit:
            learned.steps.admit(self.state, self.requests, self.now)
        return hit

    @property
    def held(self) -> dict[int, int]:
        charge = self.state.ledger.charge
        return {key: int(charge[key]) for key in np.flatnonzero(charge).tolist()}


def changing_traffic(seed: int, n: int = 2_500) -> list[int]:
    """Loops, popular objects, and working sets that move, 250 requests each: what suits one policy fails another."""
    rng, keys = np.random.default_rng(seed), list[int]()
    while len(keys) < n:
        base, width = int(rng.integers(0, 20)), int(rng.integers(3, 30))
        walk = base + np.cumsum(rng.random(250) < 0.1) + rng.integers(0, 6, 250)
        kinds = (base + np.arange(250) % width, base + rng.zipf(1.5, 250) % 30, walk, rng.integers(0, 60, 250))
        keys += kinds[rng.integers(len(kinds))].tolist()
    return [key % 60 for key in keys]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("capacity", "mortal", "weighed"),
    [
        (Capacity(12, "objects"), False, False),
        (Capacity(5, "objects"), True, True),
        (Capacity(60, "bytes"), False, True),
        (Capacity(40, "bytes"), True, False),
    ],
    ids=["objects", "objects-ttl-ms", "bytes-ms", "bytes-ttl"],
)
def test_the_guard_equals_a_plain_model(
    make_trace: Callable[..., Trace], capacity: Capacity, mortal: bool, weighed: bool, seed: int
) -> None:
    """Hits, counts, leaders and residents; so few of these that none is drawn at random."""
    rng, keys = np.random.default_rng(seed + 100), changing_traffic(seed)
    n, objective = len(keys), LOAD_TIME if weighed else unweighted()
    load_times_ms = rng.integers(1, 4, n) * np.where(np.array(keys) % 7 == 0, 5.0, 1.0)
    trace = make_trace(keys, rng.integers(4, 8, n).tolist(), load_times_ms.tolist())
    lives_s = rng.choice([0.0, 20.0, 100.0, np.inf], n, p=[0.02, 0.1, 0.38, 0.5]) if mortal else np.full(n, np.inf)
    given_options = options(float(capacity.limit), oldest_first(len(FEATURES)) if seed % 2 else None)
    trained_requests = 1_000 * (seed // 2)
    (_, requests) = next(chunks(trace, capacity, lives_s))
    rows = [Request(*row) for row in zip(keys, capacity.charges(trace).tolist(), range(n), lives_s.tolist())]  # noqa: B905
    shadows = [MODELS[name](capacity.limit, rows) for name in SHADOWS[:-1]]
    network = Compiled(begin(trace, "learned", capacity, **given_options), requests)
    entry, first = [0, 0, 0, trained_requests], SHADOWS.index("s3-fifo")
    model = Guarded(capacity.limit, [*shadows, network], first, float(capacity.limit), entry)
    values = load_times_ms.tolist() if weighed else [1.0] * n

    ours = {"objective": objective, "trained_requests": trained_requests, **given_options}
    state, hit = begin(trace, "guarded", capacity, **ours), np.zeros(n, np.bool_)
    guarded.replay(state, requests, hit)
    assert hit.tolist() == [model.serve(row, value) for row, value in zip(rows, values, strict=True)]
    assert np.flatnonzero(state.ledger.charge).tolist() == sorted(model.held)
    found = leadership(state)
    assert (found.leader, list(found.requests_led.values())) == (SHADOWS[model.leader], model.led)
    assert found.switches == len(model.switched) - 1 >= (0 if weighed else 1)
    assert state.following.race.caution[0] == model.caution
    assert state.ledger.counts[[EVICTIONS, REJECTIONS]].tolist() == [model.evictions, model.rejections]
    assert model.strangerless == 0 or capacity.unit == "bytes"


def check_books(following: Following, ledger: Any, shadows: Any) -> None:
    """Compare what is kept from event to event with what the ledgers say."""
    resident = ledger.charge > 0
    members = following.residents
    leader = int(following.race.counts[LEADER])
    assert set(members.key[: members.size[MEMBERS]].tolist()) == set(np.flatnonzero(resident).tolist())
    for p, shadow in enumerate(shadows):
        held = shadow.ledger.charge > 0
        np.testing.assert_array_equal((following.holders >> p) & 1, held)
        to_fetch = following.value[held & ~resident].sum()
        assert following.race.to_fetch[p] == pytest.approx(to_fetch, abs=1e-6)
        if p == leader:
            strangers = set(np.flatnonzero(resident & ~held).tolist())
            assert set(members.key[: members.size[MARKED]].tolist()) == strangers
        assert shadow.ledger.left_size[0] == 0


kinds_of_step = st.sampled_from(["request", "request", "request", "access", "ask", "admit", "evict"])
steps = st.lists(st.tuples(kinds_of_step, st.integers(0, 25), st.integers(1, 9), st.integers(0, 3)), max_size=120)
units = st.sampled_from(["objects", "bytes"])


@settings(max_examples=40)
@given(steps=steps, limit=st.integers(1, 40), unit=units, weight=st.sampled_from([{}, {"size_bytes": 1.0}]))
def test_the_books_are_right_and_the_leader_is_obeyed_whatever_is_done(
    make_trace: Callable[..., Trace], steps: list[Any], limit: int, unit: Any, weight: dict[str, float]
) -> None:
    """Objects come late, twice or without a size, expire and are taken out, while the leader changes all the time."""
    objective = fit_objective(make_trace([0, 1], [3, 7]), 2, weight)
    cache = Cache("guarded", Capacity(limit, unit), ttl_s=30.0, **options(4.0, history_multiple=1, objective=objective))
    cache._state.following.race.least_hits[0] = 0.1
    switches = 0
    for time_s, (step, key, size_bytes, load_time_ms) in enumerate(steps):
        sized = {"size_bytes": size_bytes, "load_time_ms": float(load_time_ms)}
        if step == "evict":
            cache.evict(key)
        elif step == "ask":  # without a word about the object
            cache.access(key, time_s)
        elif (step == "admit" or not cache.access(key, time_s, **sized)) and step != "access":
            admission = cache.admit(key, time_s, **sized)
            leader = cache._state.shadows[cache._state.following.race.counts[LEADER]]
            fits = unit == "objects" or size_bytes <= limit
            assert admission.admitted == cache.resident(key)
            assert admission.admitted == bool(fits and leader.ledger.charge[cache._code[key]])
        assert cache.counts.resident_charge <= limit
        race = cache._state.following.race
        assert race.counts[SWITCHES] - switches in (0, 1)
        assert race.counts[SWITCHES] == switches or not race.lead.any()
        switches = race.counts[SWITCHES]
        check_books(cache._state.following, cache._state.ledger, cache._state.shadows)


@every_capacity
def test_victims_are_what_the_leader_does_not_hold_and_the_older_ones_of_them(trace: Trace, capacity: Capacity) -> None:
    """Each time that the leader changes by hand, most residents are strangers: then many of them are drawn from."""
    ages: list[float] = []
    held, last = np.zeros(trace.n_keys, np.bool_), np.zeros(trace.n_keys, np.int64)
    for i, hit, state in steps_of(trace, capacity, np.inf, **options_of(60.0)):
        strangers = held & (following_bits(state) == 0)
        held_now = state.ledger.charge > 0
        gone = np.flatnonzero(held & ~held_now)
        assert hit or strangers.sum() < gone.size or not following_bits(state)[gone].any()
        if strangers.sum() > 16 and gone.size == 1:
            ages.append(float((last[strangers] < last[gone[0]]).mean()))
        held, last[trace.key[i]] = held_now, i
        if i % 500 == 0:
            state.following.race.counts[LEADER] = (i // 500) % len(SHADOWS)
            turn(state.following)
    assert len(ages) > 30
    assert float(np.mean(ages)) < 0.15  # older by far than a stranger drawn at random: 0.06 = 1/17 is expected


def following_bits(state: Any) -> Any:
    """Whether the leader's shadow holds each object."""
    return (state.following.holders >> int(state.following.race.counts[LEADER])) & 1


@pytest.mark.parametrize("leader", ["lru", "s3-fifo", "2q"])
def test_long_after_a_switch_the_cache_holds_what_its_leader_holds(trace: Trace, leader: str) -> None:
    capacity, hit = CAPACITIES[0], np.zeros(len(trace), np.bool_)
    spans = chunks(trace, capacity, stops=[1_000])
    state, (_, first), (_, second) = begin(trace, "guarded", capacity, **options_of(60.0)), next(spans), next(spans)
    guarded.replay(state, first, hit)
    race = state.following.race
    race.counts[LEADER] = SHADOWS.index("learned")  # refuses what the others admit
    turn(state.following)
    race.counts[LEADER] = SHADOWS.index(leader)
    turn(state.following)
    race.least_hits[0] = np.inf
    guarded.replay(state, second, hit)
    assert leadership(state).leader == leader
    assert race.to_fetch[race.counts[LEADER]] <= 1
    assert state.following.residents.size[MARKED] <= 1


def test_the_unit_of_the_values_changes_no_decision(make_trace: Callable[..., Trace]) -> None:
    keys = changing_traffic(3)
    trace = make_trace(keys, 1, [100.0 if key % 3 == 0 else 1.0 for key in keys])
    ours: dict[float, list[bool]] = {}
    for weight in (0.0, 1.0, 1024.0):
        objective = fit_objective(trace, 1_000, {"load_time_ms": weight} if weight else {})
        outcome = replay(trace, "guarded", Capacity(12, "objects"), **options(12.0, objective=objective))
        ours[weight] = outcome.hit.tolist()
    assert ours[1024.0] == ours[1.0] != ours[0.0]


def test_an_objective_for_other_columns_is_refused() -> None:
    with pytest.raises(ConfigError, match="the objective is for 2 feature columns, the network takes 0"):
        Cache("guarded", CAPACITIES[0], **options_of(60.0, objective=unweighted(2)))


def test_a_request_without_a_word_is_worth_what_the_stored_copy_is(trace: Trace) -> None:
    objective = fit_objective(trace, 3_000, {"load_time_ms": 1.0})
    cache = Cache("guarded", CAPACITIES[0], **options_of(60.0, objective=objective))
    cache.access(1)
    assert cache._state.following.value[cache._code[1]] == 1.0  # the training mean
    cache.admit(1, size_bytes=10, load_time_ms=3 * objective.mean[0])
    assert cache.access(1)
    assert cache._state.following.value[cache._code[1]] == pytest.approx(3.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["web12", "orm_busy", "cloudphysics_io", "w106_block"])
@pytest.mark.parametrize("sign", [1, -1], ids=["random-net", "inverted"])
def test_a_useless_network_costs_next_to_nothing_on_real_traffic(
    shared_trace: Callable[[str], Trace], name: str, sign: int
) -> None:
    """At 1 % of the keys, on the last 40 % of the requests, against the best of the three heuristics."""
    trace = shared_trace(name)
    capacity, held_out = Capacity.resolve(trace, fraction=0.01), slice(int(0.6 * len(trace)), None)
    net = random_net(capacity.limit, seed=4)
    given_options = options(float(capacity.limit), net._replace(last=sign * net.last, last_bias=sign * net.last_bias))
    best = max(replay(trace, heuristic, capacity).hit[held_out].mean() for heuristic in SHADOWS[:-1])
    assert replay(trace, "guarded", capacity, **given_options).hit[held_out].mean() >= best - 0.005
