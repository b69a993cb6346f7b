"""Which format a file has: by its content, by its name, or as it was said; and what makes two sources the same."""

import json
import struct
from pathlib import Path

import pandas as pd
import pytest

from schemas.errors import ConfigError, SourceError
from schemas.options.train import IngestConfig
from tasks.ingest.formats import identify
from tasks.ingest.formats.detect import FORMATS, SourceFile
from tasks.ingest.record import canonical_mapping

COMBINED = '10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 10 "-" "curl"'


def parquet_bytes(folder: Path) -> bytes:
    pd.DataFrame({"timestamp": [1], "key": ["a"]}).to_parquet(folder / "made")
    return (folder / "made").read_bytes()


def examples(folder: Path) -> dict[str, bytes]:
    """A small file of each format, each with one request or two."""
    return {
        "parquet": parquet_bytes(folder),
        "csv": b"timestamp,key\n1,a\n",
        "jsonl": b'{"timestamp": 1, "key": "a"}\n',
        "access_log": f"{COMBINED}\n".encode(),
        "nginx": f"{COMBINED} 0.123\n".encode(),
        "oracle_general": struct.pack("<IQIqIQIq", 1, 7, 10, 2, 1, 7, 10, -1),
        "libcachesim_csv": b"1,7,10\n2,7,10\n",
    }


def test_each_format_has_an_example(tmp_path):
    assert set(examples(tmp_path)) == set(FORMATS)


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_is_known_by_its_content_whatever_its_name(kind, ending, tmp_path, binary_file):
    found = identify(binary_file(f"requests{ending}", examples(tmp_path)[kind]))
    assert (found.kind, found.overruled) == (kind, False)


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "parquet"])
@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_packed_file_gives_the_rows_of_the_plain_one(kind, ending, tmp_path, binary_file, ingest, read):
    data = examples(tmp_path)[kind]
    plain, packed = (ingest(binary_file(f"requests{end}", data)) for end in ("", ending))
    rows = read().drop(columns="id")
    one, other = (
        rows[rows["source_id"] == source.source_id].drop(columns="source_id").reset_index(drop=True)
        for source in (plain, packed)
    )
    assert one.equals(other)
    assert plain.rows == packed.rows > 0


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("calls.csv", "at,url\n1,a\n", "csv"),
        ("calls.CSV.gz", "at,url\n1,a\n", "csv"),
        ("a.log", "broken\n", "access_log"),
        ("a.ndjson.zst", "[1]\n", "jsonl"),
        ("w.oracleGeneral.zst", "text", "oracle_general"),
        ("w.oracleGeneral.bin", "text", "oracle_general"),
        ("really.csv", COMBINED, "access_log"),
        ("really.parquet", "timestamp,key\n1,a\n", "csv"),
        ("access.log", f"garbage\n{COMBINED}\n{COMBINED} 0.1\n", "nginx"),
        ("trace", "time,obj_id,obj_size\n1,2,3\n", "libcachesim_csv"),
        ("trace", "time, obj_id, obj_size\n1, 2, 3\n", "libcachesim_csv"),
        ("plain", "\ufeffwhen,key\n1,a\n", "csv"),
    ],
)
def test_the_name_says_the_format_only_where_the_content_does_not(text_file, name, text, kind):
    assert identify(text_file(name, text)).kind == kind


@pytest.mark.parametrize("text", ["hello\n", "1,2,3\n0,2,3\n", "1,2\n", "[1, 2]\n", '{"a": \n', "\n\n", "key\na\n"])
def test_what_shows_no_format_is_refused_with_the_names_of_all(text_file, text):
    with pytest.raises(SourceError, match="not recognised by its content nor its name") as caught:
        identify(text_file("file", text))
    assert all(kind in str(caught.value) for kind in FORMATS)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("said", FORMATS)
def test_a_format_that_was_said_wrongly_is_one_line_and_writes_nothing(
    kind, said, tmp_path, binary_file, ingest, written_rows
):
    """Some formats hold others: nginx takes lines without a time, a CSV file may be read as libCacheSim does."""
    path = binary_file("requests", examples(tmp_path)[kind])
    if said == kind or (kind, said) in {("access_log", "nginx"), ("csv", "libcachesim_csv")}:
        assert ingest(path, format=said).rows > 0
        return
    with pytest.raises(SourceError) as caught:
        ingest(path, format=said)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()
    assert written_rows() == (0, 0)


@pytest.mark.parametrize("kind", ["access_log", "nginx", "oracle_general"])
def test_a_mapping_makes_no_sense_where_there_are_no_columns(kind, tmp_path, binary_file, record):
    with pytest.raises(ConfigError, match="has none"):
        record(binary_file("requests", examples(tmp_path)[kind]), key="url")


def test_a_key_with_a_nul_character_is_refused_by_row(text_file, record, written_rows):
    with pytest.raises(SourceError, match=r"cache_key holds a NUL character.*row 2 has 'b\\x00'"):
        record(text_file("a.jsonl", '{"timestamp": 1, "key": "a"}\n{"timestamp": 1, "key": "b\\u0000"}\n'))
    assert written_rows() == (0, 0)


@pytest.mark.parametrize(
    ("options", "overruled", "text"),
    [
        ({}, False, "{}"),
        ({"map": {"key": "url", "a": "b"}}, False, '{"a": "b", "key": "url"}'),
        ({"format": "csv"}, False, "{}"),
        ({"key_rules": ("sort-query", "drop-fragment", "lower-host")}, False, "{}"),
        ({"format": "csv", "map": {"key": "url"}}, True, '{"format": "csv", "map": {"key": "url"}}'),
        ({"key_rules": ("none",)}, False, '{"keys": {"drop": [], "keep": [], "rules": []}, "map": {}}'),
    ],
)
def test_the_identity_of_a_plain_source_is_its_mapping_alone(options, overruled, text):
    """As it was recorded before there were formats and rules to say, so that it is still recognised."""
    source = SourceFile(Path("a.csv"), "csv", overruled)
    assert canonical_mapping(source, IngestConfig(source="a.csv", **options)) == text


def test_a_long_mapping_is_told_by_its_digest():
    options = {"drop_parameters": tuple(f"parameter_{n}" for n in range(100))}
    first, second = (
        canonical_mapping(SourceFile(Path("a.csv"), "csv"), IngestConfig(source="a.csv", map=mapping, **options))
        for mapping in ({}, {"key": "url"})
    )
    assert first.startswith("sha256:")
    assert len(first) == 71
    assert first != second


def test_rules_and_formats_make_other_sources_and_repeating_them_adds_nothing(text_file, ingest, written_rows, read):
    path = text_file("calls.csv", "timestamp,key\n1,GET http://Host/users/7?b=1&a=2#x\n")
    variants = [
        {},
        {"key_rules": ("none",)},
        {"key_rules": ("safe", "template-ids")},
        {"drop_parameters": ("b",)},
        {"format": "libcachesim_csv"},
    ]
    assert len({ingest(path, **options).source_id for options in variants}) == 5
    assert [ingest(path, **options).added_rows for options in variants] == [0] * 5
    assert written_rows() == (5, 5)
    assert read()["cache_key"].tolist() == [
        "GET http://host/users/7?a=2&b=1",
        "GET http://Host/users/7?b=1&a=2#x",
        "GET http://host/users/{id}?a=2&b=1",
        "GET http://host/users/7?a=2",
        "GET http://host/users/7?a=2&b=1",
    ]


def test_saying_what_the_file_shows_is_the_same_source(text_file, ingest):
    path = text_file("calls.csv", "timestamp,key\n1,a\n")
    assert ingest(path).source_id == ingest(path, format="csv", key_rules=("safe",)).source_id


def test_templates_make_one_object_also_where_the_endpoint_is_an_id(text_file, ingest, read):
    lines = [COMBINED.replace("/a", target) for target in ("/17/x", "/18/x")]
    ingest(text_file("a.log", "\n".join(lines)), key_rules=("template-ids",))
    assert read()[["cache_name", "cache_key"]].drop_duplicates().values.tolist() == [["/{id}", "GET /{id}/x"]]


def test_rules_that_lengthen_a_key_too_far_are_refused(text_file, ingest):
    key = "/1" * 1000
    path = text_file("a.jsonl", json.dumps({"timestamp": 1, "key": key}))
    assert ingest(path).rows == 1
    with pytest.raises(SourceError, match="cache_key may have 2048 characters at most: row 1"):
        ingest(path, key_rules=("template-ids",))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"key_rules": ("none", "safe")}, "none stands alone, got none, safe"),
        ({"drop_parameters": ("a", "b"), "keep_parameters": ("b",)}, "both name b"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        IngestConfig(source="a", **options)
