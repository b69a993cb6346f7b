"""Keys normalised by rules: what merges, what stays apart, and what is no request at all."""

import time
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.options.train import KEY_RULES, IngestConfig
from tasks.ingest.keys import KeyNormaliser

SAFE = KeyNormaliser()
ALL = KeyNormaliser(frozenset(KEY_RULES))

names = st.sampled_from(["a", "b", "area", "_", "t", "utm_source", "sid", "a[]", "%61"])
values = st.sampled_from(["", "1", "b=c", "1700000000", "1700000000123", "DK1", "?"])
parameters = st.one_of(st.just(""), names, st.builds("{}={}".format, names, values))
segments = st.sampled_from(["", "prices", "7", "007", "{id}", "f" * 32, "12ab", "0b6f4c1e-1111-2222-3333-0123456789ab"])
requests = st.builds(
    "{}{}/{}{}{}".format,
    st.sampled_from(["", "GET ", "HEAD ", "get "]),
    st.sampled_from(["", "http://Example.COM", "HTTPS://User:Pw@Host:80"]),
    st.lists(segments, max_size=4).map("/".join),
    st.lists(parameters, max_size=5).map(lambda given: "?" + "&".join(given) if given else ""),
    st.sampled_from(["", "#", "#Top"]),
)
normalisers = st.builds(
    KeyNormaliser,
    st.frozensets(st.sampled_from(KEY_RULES)),
    st.lists(st.sampled_from(["a", "b*", "*"]), max_size=2).map(tuple),
    st.lists(st.sampled_from(["t", "utm_*", "area"]), max_size=2).map(tuple),
)


@pytest.mark.parametrize(
    ("key", "normalised"),
    [
        ("GET http://Example.COM:8080/A?x=1", "GET http://example.com:8080/A?x=1"),
        ("HTTPS://Me:PassWord@Example.com/", "https://Me:PassWord@example.com/"),
        ("GET /prices?b=2&a=1", "GET /prices?a=1&b=2"),
        ("/prices?b=2&a=1", "/prices?a=1&b=2"),
        ("GET /a?id=2&x=0&id=1", "GET /a?id=2&id=1&x=0"),
        ("GET /a?&b&&a=", "GET /a?a=&b"),
        ("GET /a?b=1&a=2&%61=1", "GET /a?a=2&%61=1&b=1"),
        ("GET /a?", "GET /a"),
        ("GET /a#top", "GET /a"),
        ("http://a/b?c#d", "http://a/b?c"),
        ("/posts#show", "/posts#show"),
        ("GET //prices//X", "GET //prices//X"),
    ],
)
def test_the_safe_rules_change_how_a_request_is_written_alone(key, normalised):
    assert SAFE.normalise(key) == normalised


@pytest.mark.parametrize(
    "key",
    ["17", "-3", "deadbeef" * 4, "", "a&b?d&c", "user:7?b&a", "SELECT * FROM t WHERE b=? AND a=?b&a", "GET prices?b&a",
     "/* hint */ SELECT 1 ?b&a", "OPTIONS *", "GET /a b?d&c", "ftp://HOST/?b&a", "get /x?b&a"],
)  # fmt: skip
def test_a_key_that_is_no_request_stays_as_it_is(key):
    assert ALL.normalise(key) == key


@pytest.mark.parametrize(
    ("key", "normalised"),
    [
        ("GET /a?_=1&area=DK1&utm_source=x&SessionID=9", "GET /a?area=DK1"),
        ("GET /a?start=1700000000&end=1700000000123&at=1700000000123456&x=1700000000.25", "GET /a"),
        ("GET /a?day=20260301&id=999&n=17000000000", "GET /a?day=20260301&id=999&n=17000000000"),
    ],
)
def test_volatile_parameters_go_by_name_and_by_value_when_asked(key, normalised):
    assert KeyNormaliser(frozenset({"drop-volatile"})).normalise(key) == normalised
    assert SAFE.normalise(key).count("=") == key.count("=")


@pytest.mark.parametrize(
    ("key", "normalised"),
    [
        ("GET /users/17/orders/4", "GET /users/{id}/orders/{id}"),
        ("/blobs/0123456789abcdef0123/raw", "/blobs/{id}/raw"),
        ("/o/0b6f4c1e-aaaa-BBBB-3333-0123456789ab", "/o/{id}"),
        ("/v2/2026-03-01/a17/facade?id=5", "/v2/2026-03-01/a17/facade?id=5"),
    ],
)
def test_segments_that_are_ids_become_one_template_when_asked(key, normalised):
    assert KeyNormaliser(frozenset({"template-ids"})).normalise(key) == normalised
    assert SAFE.normalise(key) == key


@pytest.mark.parametrize(
    ("drop", "keep", "normalised"),
    [
        (("a",), (), "/x?t=3&t[0]=4&u=5"),
        (("t[0]",), (), "/x?a=1&t=3&u=5"),
        (("t*",), ("t",), "/x?a=1&t=3&u=5"),
        (("*",), ("u", "a"), "/x?a=1&u=5"),
        (("*",), (), "/x"),
        (("%61",), (), "/x?a=1&t=3&t[0]=4&u=5"),
        (("A", "."), (), "/x?a=1&t=3&t[0]=4&u=5"),
    ],
)
def test_parameters_are_dropped_and_kept_by_name(drop, keep, normalised):
    assert KeyNormaliser(frozenset(), drop, keep).normalise("/x?a=1&t=3&t[0]=4&u=5") == normalised


def test_a_parameter_that_is_kept_survives_the_rules():
    keeper = KeyNormaliser(frozenset({"drop-volatile"}), keep=("from", "t"))
    assert keeper.normalise("/x?from=1700000000&to=1700000000&t=1") == "/x?from=1700000000&t=1"


@given(st.one_of(requests, st.text(max_size=40)), normalisers)
@example("/a?_=1&", KeyNormaliser(frozenset({"drop-volatile"})))
@example("http://İ/", SAFE)
def test_normalising_twice_is_normalising_once(key, normaliser):
    once = normaliser.normalise(key)
    assert normaliser.normalise(once) == once


@given(requests)
def test_the_safe_rules_keep_the_path_and_each_parameter(key):
    before, after = (urlsplit(text.rpartition(" ")[2]) for text in (key, SAFE.normalise(key)))
    if key.startswith("get "):  # methods are upper case
        assert SAFE.normalise(key) == key
    elif not before.path.startswith("//") or before.netloc:
        assert (after.netloc.lower(), after.path) == (before.netloc.lower(), before.path)
        pairs = [parse_qsl(url.query, keep_blank_values=True) for url in (before, after)]
        for name in {name for name, _ in pairs[0]}:
            assert [v for n, v in pairs[0] if n == name] == [v for n, v in pairs[1] if n == name]


@given(st.lists(st.one_of(st.none(), requests, st.text(max_size=8)), max_size=12), normalisers)
def test_a_column_is_normalised_key_by_key(keys, normaliser):
    expected = [None if key is None else normaliser.normalise(key) for key in keys]
    assert normaliser.normalise_all(pa.array(keys, pa.string())).to_pylist() == expected


@pytest.mark.parametrize("piece", ["/1", "?a=1", "&", "/?", "://", "#"])
def test_a_hostile_key_costs_linear_time(piece):
    start_s = time.process_time()
    ALL.normalise("GET http://h/" + piece * (200_000 // len(piece)))
    assert time.process_time() - start_s < 2


def test_options_name_the_rules():
    def rules(*given):
        return KeyNormaliser.of(IngestConfig(source="x", key_rules=given)).rules

    assert KeyNormaliser.of(IngestConfig(source="x")) == SAFE
    assert rules("none") == frozenset()
    assert rules("safe", "template-ids") == SAFE.rules | {"template-ids"}
    assert rules("sort-query") == {"sort-query"}
