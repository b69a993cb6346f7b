"""When the leader changes: what a challenger must be ahead, and what a switch costs."""

import numpy as np
import pytest

from cachesim.policies.guard.race import LEADER, MOST_CAUTION, SWITCHES, Race, judge, new_race

OBJECTS = 10  # so that switches within 320 requests count as quick


def race_of_two() -> Race:
    return new_race([0, 0], leader=0, capacity_objects=OBJECTS, stride=1.0)


def hits_until_switch(race: Race, value: float = 1.0) -> int:
    """Let the one that does not lead hit alone until it leads; return how often it had to."""
    leader, n = race.counts[LEADER], 0
    race.hit[:] = np.arange(2) != leader
    while race.counts[LEADER] == leader:
        n += 1
        judge(race, value)
    return n


def rest(race: Race, requests: int) -> None:
    race.hit[:] = False
    for _ in range(requests):
        judge(race, 1.0)


def test_a_challenger_that_costs_nothing_leads_after_more_than_16_hits() -> None:
    assert hits_until_switch(race_of_two()) == 17


def test_what_a_switch_must_fetch_counts_half() -> None:
    race = race_of_two()
    race.to_fetch[1] = 20.0
    assert hits_until_switch(race) == 16 + 10 + 1


def test_hits_of_the_leader_count_against_a_challenger_and_its_debts_are_forgotten() -> None:
    race = race_of_two()
    race.hit[:] = [True, False]
    for _ in range(1_000):
        judge(race, 1.0)
    race.hit[:] = [False, True]
    for _ in range(10):
        judge(race, 1.0)
    race.hit[:] = [True, False]
    for _ in range(4):
        judge(race, 1.0)
    assert race.lead.tolist() == [0.0, 6.0]
    assert hits_until_switch(race) == 11
    assert race.lead.tolist() == [0.0, 0.0]


def test_the_one_furthest_beyond_its_threshold_leads() -> None:
    race = new_race([0, 0, 0], leader=0, capacity_objects=OBJECTS, stride=1.0)
    race.lead[:] = [0.0, 40.0, 45.0]
    race.to_fetch[:] = [0.0, 2.0, 20.0]
    assert judge(race, 1.0)
    assert race.counts[[LEADER, SWITCHES]].tolist() == [1, 1]


def test_quick_switches_double_the_cost_of_the_next_and_quiet_times_halve_it() -> None:
    race = race_of_two()
    cautions = []
    for requests in (0, 0, 0, 0, 0, 400, 400, 400, 400):
        rest(race, requests)
        hits_until_switch(race)
        cautions.append(race.caution[0])
    assert cautions == [1.0, 2.0, 4.0, MOST_CAUTION, MOST_CAUTION, 4.0, 2.0, 1.0, 1.0]
    race.to_fetch[:] = 6.0
    race.caution[0] = 4.0
    assert hits_until_switch(race) == 16 + 4 * 3 + 1


def test_each_leader_is_credited_with_the_requests_that_it_led() -> None:
    race = race_of_two()
    hits_until_switch(race)
    rest(race, 5)
    assert race.led.tolist() == [17, 5]


@pytest.mark.parametrize("unit", [1024.0, 2.0**-10])
def test_the_unit_of_the_values_changes_nothing(unit: float) -> None:
    race = race_of_two()
    race.to_fetch[1] = 20.0 * unit
    assert hits_until_switch(race, unit) == 27


def test_values_that_vary_more_need_a_greater_lead() -> None:
    """One request in a hundred is worth 91, the others 0.09, so 1 in the mean: its root mean square is 9."""
    race = race_of_two()
    race.hit[:] = False
    for i in range(100_000):
        judge(race, 91.0 if i % 100 == 0 else 0.09)
    assert 0 <= hits_until_switch(race, 91.0) - 16 * 9.1 / 91 <= 1


def test_a_policy_that_enters_late_brings_no_lead() -> None:
    race = new_race([0, 100], leader=0, capacity_objects=OBJECTS, stride=1.0)
    assert hits_until_switch(race) == 100 + 17


def test_a_sample_of_the_keys_needs_fewer_hits() -> None:
    assert hits_until_switch(new_race([0, 0], leader=0, capacity_objects=OBJECTS, stride=4.0)) == 9


def test_nothing_switches_where_no_hit_is_worth_anything() -> None:
    race = race_of_two()
    race.hit[:] = [False, True]
    assert not any(judge(race, 0.0) for _ in range(100))
