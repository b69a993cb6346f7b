"""A description of an API becomes its GET requests, and one that cannot be used is one line."""

import contextlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import SourceError
from tasks.simulate.openapi import Operation, Parameter, read_operations, request_keys
from tasks.simulate.openapi_values import MOST_VALUES, values_of

SHOP = """
openapi: 3.0.3
servers: [{url: "https://{host}/{version}", variables: {version: {default: v1}}}]
paths:
  /users/{id}:
    parameters:
      - $ref: '#/components/parameters/Id'
      - {name: lang, in: query, schema: {type: string}}
    get:
      parameters:
        - {name: lang, in: query, schema: {$ref: '#/components/schemas/Language'}}
        - {name: X-Trace, in: header, required: true, schema: {type: string}}
    delete: {}
  /reports/{day}:
    get:
      parameters:
        - {name: day, in: path, required: true, schema: {type: string, format: date}, example: 2020-02-29}
        - {name: full, in: query, required: true, schema: {type: boolean}}
  /status: {get: {}}
  /orders: {post: {}}
components:
  parameters:
    Id: {name: id, in: path, required: true, schema: {type: integer, minimum: 1, maximum: 3}}
  schemas:
    Language: {type: string, enum: [en, da]}
"""
WORDS = """get parameters name in schema type enum items allOf oneOf minimum maximum multipleOf format default example
    examples content query path integer string array date $ref #/paths"""
PETS = {
    "swagger": "2.0",
    "basePath": "/api/",
    "paths": {
        "/pets": {"get": {"parameters": [{"name": "kind", "in": "query", "type": "string", "enum": ["cat", "a dog"]}]}}
    },
}


@pytest.fixture
def operations_of(tmp_path: Path) -> Any:
    def read(description: str | dict[str, Any], name: str = "api.yaml") -> list[Operation]:
        path = tmp_path / name
        path.write_text(description if isinstance(description, str) else json.dumps(description))
        return read_operations(path)

    return read


def all_keys(operations: list[Operation]) -> list[str]:
    return request_keys(operations, 100_000, 0)[1]


def test_paths_and_parameters_become_requests(operations_of):
    operations = operations_of(SHOP)
    assert [operation.template for operation in operations] == ["/v1/users/{id}", "/v1/reports/{day}", "/v1/status"]
    keys = all_keys(operations)
    users = {f"GET /v1/users/{i}{query}" for i in (1, 2, 3) for query in ("", "?lang=en", "?lang=da")}
    assert {key for key in keys if "/users/" in key} == users
    assert "GET /v1/reports/2020-02-29?full=true" in keys
    assert "GET /v1/status" in keys
    assert len(keys) == len(set(keys)) == 9 + 2 * 366 + 1


def test_swagger_2_and_json_are_read_too(operations_of):
    keys = all_keys(operations_of(PETS, "api.json"))
    assert sorted(keys) == ["GET /api/pets", "GET /api/pets?kind=a%20dog", "GET /api/pets?kind=cat"]


def test_extensions_are_left_out_and_an_operation_may_be_bare(operations_of):
    operations = operations_of("openapi: 3.1.0\nservers: [{url: api/}]\npaths: {x-note: hello, /a: {get: }}")
    assert all_keys(operations) == ["GET /api/a"]


def test_half_a_character_is_replaced(operations_of):
    broken = json.dumps(PETS).replace("a dog", "\\ud800")
    assert "GET /api/pets?kind=%3F" in all_keys(operations_of(broken, "api.json"))


def test_operations_take_turns_and_share_what_there_may_be(operations_of):
    operations = operations_of(SHOP)
    names, keys = request_keys(operations, 25, 0)
    assert names[:3] == [operation.template for operation in operations]
    assert len(set(keys)) == 25
    assert [names.count(operation.template) for operation in operations] == [9, 15, 1]
    assert request_keys(operations, 25, 0) == (names, keys)
    assert request_keys(operations, 25, 1) != (names, keys)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(1, 200))
def test_as_many_requests_as_there_are_or_may_be(sizes, most):
    operations = [
        Operation(f"/o{i}", (Parameter("p", False, [str(v) for v in range(n)]),)) for i, n in enumerate(sizes)
    ]
    assert len(set(request_keys(operations, most, 0)[1])) == min(sum(sizes), most)


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_names_and_values_arrive_as_they_were_whatever_they_hold(name, value):
    operation = Operation("/a/{b}/c", (Parameter("b", True, [value]), Parameter(name, False, [value])))
    (key,) = request_keys([operation], 1, 0)[1]
    parts = urlsplit(key.removeprefix("GET "))
    assert parts.path.count("/") == 3
    assert parse_qs(parts.query, strict_parsing=True) == {name: [value]}
    assert key.isascii()
    assert key.count(" ") == 1


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        ({"enum": [1, "b", None, True]}, ["1", "b", "true"]),
        ({"const": "x"}, ["x"]),
        ({"type": "boolean"}, ["true", "false"]),
        ({"type": "integer", "minimum": 2, "maximum": 4}, ["2", "3", "4"]),
        ({"type": "integer", "minimum": 2, "exclusiveMinimum": True, "maximum": 4}, ["3", "4"]),
        ({"type": "integer", "exclusiveMinimum": 2, "exclusiveMaximum": 4}, ["3"]),
        ({"type": "integer", "minimum": 1, "maximum": 20, "multipleOf": 6}, ["6", "12", "18"]),
        ({"type": "integer", "maximum": 2, "default": 7}, ["7", "1", "2"]),
        ({"type": ["null", "boolean"]}, ["true", "false"]),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, ["a", "b"]),
        ({"type": "string", "example": "oslo", "examples": ["bergen"]}, ["oslo", "bergen"]),
        ({"type": "object", "properties": {}}, []),
    ],
)
def test_a_schema_gives_the_values_it_allows(schema, values):
    assert values_of("p", schema) == values


@pytest.mark.parametrize(
    ("schema", "first", "how_many"),
    [
        ({"type": "integer"}, "1", MOST_VALUES),
        ({"type": "integer", "maximum": -5}, "-1004", MOST_VALUES),
        ({"type": "string", "format": "date"}, "2026-03-11", 365),
        ({"type": "string", "format": "date-time"}, "2026-03-11T23:00:00Z", 720),
        ({"type": "number", "minimum": 10, "maximum": 12}, "10.05", 20),
        ({}, "city1", MOST_VALUES),
    ],
)
def test_a_schema_without_an_end_gives_many_values(schema, first, how_many):
    values = values_of("city", schema)
    assert values[0] == first
    assert len(set(values)) == len(values) == how_many


def test_uuids_are_uuids_and_repeat():
    values = values_of("id", {"type": "string", "format": "uuid"})
    assert len(set(values)) == MOST_VALUES
    assert all(len(value) == 36 and value[14] == "4" for value in values)
    assert values == values_of("id", {"type": "string", "format": "uuid"})


@pytest.mark.parametrize(
    ("description", "told"),
    [
        ("openapi: 3.0.0\npaths: {/a: {post: {}}}", "describes no GET operation"),
        ("openapi: 4.0.0", "no field openapi 3.x"),
        ("just text", "no mapping at its top"),
        ("a: [1", "neither JSON nor YAML"),
        ("a: 2020-99-99", "neither JSON nor YAML"),
        ("openapi: 3.0.0\nservers: [{url: 'http://[x'}]", "a server whose address is none: http://[x"),
        ("openapi: 3.0.0\npaths: {/a: {get: [1]}}", "no mapping where one must be: get of /a"),
        ("openapi: 3.0.0\npaths: []", "no mapping where one must be: paths"),
        ("openapi: 3.0.0\npaths: {/a: {$ref: 'other.yaml#/a'}}", "refers to another file"),
        ("openapi: 3.0.0\npaths: {/a: {$ref: '#/b'}}", "refers to what it does not hold: #/b"),
        ("openapi: 3.0.0\npaths: {/a: {$ref: '#/paths/~1a'}}", "references that lead to each other"),
        (f"openapi: 3.0.0\npaths: {{/{'a' * 300}: {{get: {{}}}}}}", "a path of 301 characters"),
        (
            "openapi: 3.0.0\npaths: {/a: {get: {parameters: [{name: p, in: query, schema: {$ref: '#/s'}}]}}}\n"
            "s: {allOf: [{$ref: '#/s'}]}",
            "a schema that holds itself",
        ),
    ],
)
def test_a_description_that_cannot_be_used_is_one_line(operations_of, description, told):
    with pytest.raises(SourceError, match=r"api\.yaml: .*") as caught:
        operations_of(description)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_one_line(tmp_path):
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(SourceError, match="cannot be read"):
            read_operations(path)


def test_a_request_longer_than_the_table_takes_is_refused():
    operation = Operation("/a", (Parameter("p", False, ["x" * 3_000]),))
    with pytest.raises(SourceError, match="a request has 3009 characters, at most 2048"):
        request_keys([operation], 1, 0)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates().map(str)
words = st.sampled_from(WORDS.split())
nodes = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=150)
@given(
    parameters=st.lists(st.fixed_dictionaries({"name": words, "in": words}, optional={"schema": nodes}), max_size=3),
    extra=st.dictionaries(words, nodes, max_size=3),
)
def test_whatever_a_description_holds_it_gives_requests_or_one_line(tmp_path_factory, parameters, extra):
    path = tmp_path_factory.mktemp("api") / "api.json"
    operation = {"parameters": [*parameters, {"name": "q", "in": "query", **extra}]}
    path.write_text(json.dumps({"openapi": "3.1.0", "paths": {"/a/{get}": {"get": operation}}}))
    with contextlib.suppress(SourceError):
        keys = request_keys(read_operations(path), 20, 0)[1]
        assert keys
        assert all(key.startswith("GET /a/") for key in keys)
