"""The options of `simulate`: how much follows from what is given, and what does not go together is one line."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigError
from schemas.options.simulate import PACE_OPTIONS, SimulateConfig
from schemas.options.train import parse


def test_without_options_it_is_the_traffic_it_always_was():
    config = SimulateConfig()
    assert (config.chosen_profile, config.total_requests, config.seed, config.to) == ("energy", 100_000, 0, "table")


@pytest.mark.parametrize(
    ("options", "requests", "duration_s"),
    [
        ({}, 100_000, 86_400),
        ({"requests": 500}, 500, 86_400),
        ({"rate": 50}, 100_000, 2_000),
        ({"duration_s": 60}, 100_000, 60),
        ({"requests": 500, "rate": 50}, 500, 10),
        ({"requests": 500, "duration_s": 60}, 500, 60),
        ({"rate": 50, "duration_s": 60}, 3_000, 60),
    ],
)
def test_two_of_requests_rate_and_duration_give_the_third(options, requests, duration_s):
    config = SimulateConfig(profile="zipf", **options)
    assert (config.total_requests, config.total_s) == (requests, duration_s)


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 3e7))
def test_rate_times_duration_is_within_the_range_of_requests_or_refused(rate, duration_s):
    fits = 1 <= round(rate * duration_s) <= 100_000_000
    with contextlib.nullcontext() if fits else pytest.raises(ValueError, match="between 1 and 100,000,000"):
        config = SimulateConfig(profile="zipf", rate=rate, duration_s=duration_s)
        assert config.total_requests == round(rate * duration_s)


def test_an_api_of_ones_own_is_asked_by_popularity():
    assert SimulateConfig(openapi="api.yaml").chosen_profile == "zipf"
    assert SimulateConfig(openapi="api.yaml", profile="scan").chosen_profile == "scan"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"profile": "zipf", "requests": 1, "rate": 1, "duration_s": 1}, "give two of requests, rate and duration_s"),
        ({"profile": "energy", "openapi": "a"}, "openapi: the profile energy has an API of its own"),
        ({"objects": 5}, "objects: not an option of the profile energy"),
        ({"rate": 5, "clients": 2}, "rate and clients: not an option of the profile energy"),
        ({"profile": "scan", "exponent": 1}, "exponent: not an option of the profile scan"),
        ({"to": "a.csv", "base_url": "http://h"}, "give one destination, not to and base_url"),
        ({"to": "requests.parquet"}, "to: takes table, or a file named .csv or .csv.gz, got 'requests.parquet'"),
        ({"base_url": "http://h", "clients": 1_001}, "clients: at most 1,000 ask a server at once, got 1,001"),
        ({"profile": "zifp"}, "profile: Input should be 'energy', 'zipf'"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(options, told):
    with pytest.raises(ConfigError) as caught:
        parse(SimulateConfig, options)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_over_http_the_energy_traffic_has_a_pace_and_clients_too():
    given = dict.fromkeys(PACE_OPTIONS, 5)
    assert SimulateConfig(base_url="http://127.0.0.1:8000", **given).total_requests == 25


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "https://host", "http://[::1]:80/api/", "http://me:secret@host"]
)
def test_an_address_is_taken(url):
    assert SimulateConfig(base_url=url).base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "host:80",
        "ftp://host",
        "http://",
        "http://:80",
        "http://host:99999",
        "http://[::1",
        "http://h/?q=1",
        "http://h /",
        "http://me:secret@x@host",
        "",
    ],
)
def test_what_is_no_address_is_refused_and_not_shown(url):
    with pytest.raises(ConfigError, match="base_url: takes an address such as") as caught:
        parse(SimulateConfig, {"base_url": url})
    assert "secret" not in str(caught.value)
