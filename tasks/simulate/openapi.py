"""An OpenAPI description as requests: the GET operations of an API, and their parameters filled with plausible values.

OpenAPI 3.x and Swagger 2, JSON or YAML. Path and query parameters are filled in; headers, cookies and bodies are left
out. References are followed inside the file.
"""

import json
import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import yaml

from schemas.errors import SourceError
from schemas.tables import MAX_CACHE_KEY_CHARS, MAX_CACHE_NAME_CHARS
from tasks.ingest.formats.compressed import readable
from tasks.simulate.openapi_values import Schema, listed, values_of

MOST_COMBINATIONS = 2**62
MOST_REFERENCES = 50  # in a row
VERSIONS = ("2.", "3.")
PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
PATH_CHARACTERS = "/{}%:@!$&'()*+,;=~"


@dataclass(frozen=True)
class Parameter:
    """A parameter that goes into the address. `values` are texts; None: it may be left out."""

    name: str
    in_path: bool
    values: Sequence[str | None]


@dataclass(frozen=True)
class Operation:
    """A GET operation: its path template behind the server's prefix, its parameters in the order of the file."""

    template: str
    parameters: tuple[Parameter, ...]

    @property
    def combinations(self) -> int:
        """How many different requests it has; 2^62 where there are more."""
        return min(math.prod(len(parameter.values) for parameter in self.parameters), MOST_COMBINATIONS)

    def key(self, number: int) -> str:
        """Return the request of a number in [0, combinations), e.g. "GET /users/42?lang=en"."""
        path, query = self.template, []
        for parameter in self.parameters:
            number, choice = divmod(number, len(parameter.values))
            value = parameter.values[choice]
            if parameter.in_path:
                path = path.replace(f"{{{parameter.name}}}", quote(str(value), safe="", errors="replace"))
            elif value is not None:
                query.append((parameter.name, value))
        return f"GET {path}?{urlencode(query, quote_via=quote, errors='replace')}" if query else f"GET {path}"


def read_operations(path: Path) -> list[Operation]:
    """Return the GET operations of the API that the file describes.

    Raises:
        SourceError: the file cannot be read, is no OpenAPI description, has no GET operation, or refers to what it
            does not hold.
    """
    operations = list(_Document(path).operations())
    if not operations:
        raise SourceError(f"{path}: describes no GET operation, and a cache answers no other; choose another file")
    return operations


def request_keys(operations: Sequence[Operation], most: int, seed: int) -> tuple[list[str], list[str]]:
    """Return cache name and key of up to `most` different requests, >= 1, the operations taking turns.

    Which values an operation takes that has more than its share is drawn by the seed.

    Raises:
        SourceError: a request is longer than the table takes.
    """
    drawn = [
        random.Random(f"{seed} {operation.template}").sample(range(operation.combinations), share)
        for operation, share in zip(operations, _shares(operations, most), strict=True)
    ]
    turns = [
        (turn, operation, numbers[turn])
        for operation, numbers in zip(operations, drawn, strict=True)
        for turn in range(len(numbers))
    ]
    turns.sort(key=lambda entry: entry[0])  # stable: within a turn in the order of the file
    keys = [operation.key(number) for _, operation, number in turns]
    longest = max(keys, key=len)
    if len(longest) > MAX_CACHE_KEY_CHARS:
        raise SourceError(
            f"a request has {len(longest)} characters, at most {MAX_CACHE_KEY_CHARS} are kept: {longest[:80]}"
        )
    return [operation.template for _, operation, _ in turns], keys


def _shares(operations: Sequence[Operation], most: int) -> list[int]:
    """How many requests of each: equal numbers, as far as it has so many; the others share what it leaves."""
    shares = [0] * len(operations)
    order = sorted(range(len(operations)), key=lambda number: operations[number].combinations)
    for done, number in enumerate(order):
        others = len(operations) - done
        shares[number] = min(operations[number].combinations, (most + others - 1) // others)
        most -= shares[number]
    return shares


def _quoted_path(path: object) -> str:
    return quote(str(path), safe=PATH_CHARACTERS, errors="replace")


class _Document:
    """The parsed file, and what is found in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with readable(path):
            text = path.read_text("utf-8-sig")
        self.root = self._parsed(text)
        version = str(self.root.get("openapi", self.root.get("swagger", "")))
        if not version.startswith(VERSIONS):
            raise self._refusal("has no field openapi 3.x (or swagger 2.x) at its top")

    def operations(self) -> Iterator[Operation]:
        prefix = self._prefix()
        for route, item in self._mapping(self.root.get("paths", {}), "paths").items():
            if not str(route).startswith("/"):
                continue  # an extension, x-...
            item = self._mapping(item, f"paths {route}")
            if "get" in item:
                get = self._mapping(item["get"] or {}, f"get of {route}")
                yield self._operation(prefix + _quoted_path(route), item, get)

    def _refusal(self, reason: str) -> SourceError:
        return SourceError(f"{self.path}: no OpenAPI description that can be used: it {reason}")

    def _parsed(self, text: str) -> dict[str, Any]:
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            try:
                parsed = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            except (yaml.YAMLError, ValueError, RecursionError) as error:
                raise self._refusal(f"is neither JSON nor YAML ({' '.join(str(error).split())})") from error
        if not isinstance(parsed, dict):
            raise self._refusal("is no mapping at its top")
        return parsed

    def _prefix(self) -> str:
        """The path before each template: Swagger's basePath, or that of the first server."""
        servers = listed(self.root.get("servers")) or [{"url": self.root.get("basePath") or ""}]
        server = self._mapping(servers[0], "servers")
        variables = self._mapping(server.get("variables", {}), "servers")
        address = PLACEHOLDER.sub(
            lambda found: str(self._mapping(variables.get(found[1], {}), "servers").get("default", found[1])),
            str(server.get("url", "")),
        )
        try:
            path = urlsplit(address).path.strip("/")
        except ValueError as error:
            raise self._refusal(f"has a server whose address is none: {address}") from error
        return _quoted_path(f"/{path}" if path else "")

    def _operation(self, template: str, item: dict[str, Any], get: dict[str, Any]) -> Operation:
        if len(template) > MAX_CACHE_NAME_CHARS:
            raise self._refusal(
                f"has a path of {len(template)} characters, at most {MAX_CACHE_NAME_CHARS} are kept: {template}"
            )
        declared: dict[tuple[str, str], dict[str, Any]] = {}
        for parameter in [*listed(item.get("parameters")), *listed(get.get("parameters"))]:
            parameter = self._mapping(parameter, f"a parameter of {template}")
            declared[str(parameter.get("name")), str(parameter.get("in"))] = parameter
        names = list(dict.fromkeys(PLACEHOLDER.findall(template)))
        in_path = [Parameter(name, True, self._values(name, declared.get((name, "path"), {}))) for name in names]
        in_query = [
            self._in_query(name, parameter) for (name, where), parameter in declared.items() if where == "query"
        ]
        return Operation(template, tuple(parameter for parameter in [*in_path, *in_query] if parameter.values))

    def _in_query(self, name: str, parameter: dict[str, Any]) -> Parameter:
        values: list[str | None] = list(self._values(name, parameter, or_any=False))
        if values and parameter.get("required") is not True:
            values.insert(0, None)
        return Parameter(name, False, values)

    def _values(self, name: str, parameter: dict[str, Any], or_any: bool = True) -> list[str]:
        """What a parameter may be; with `or_any` any text where nothing is said that fits into an address."""
        content = parameter.get("content")
        described = next(iter(content.values()), {}) if isinstance(content, dict) else parameter
        schema = self._schema(self._mapping(described, name).get("schema", parameter))  # Swagger 2 has both in one
        examples = parameter.get("examples")
        stated = [parameter.get("example")]
        if isinstance(examples, dict):
            stated += [self._mapping(example, name).get("value") for example in examples.values()]
        merged = {**schema, "examples": [*stated, *listed(schema.get("examples"))]}
        return values_of(name, merged) or (values_of(name, {}) if or_any else [])

    def _schema(self, node: Any, depth: int = 0) -> Schema:
        """A schema with its references followed: all of allOf together, the first of oneOf and anyOf."""
        if depth > MOST_REFERENCES:
            raise self._refusal("has a schema that holds itself")
        schema = self._mapping(node, "a schema")
        merged: Schema = {}
        for part in listed(schema.get("allOf")) or [*listed(schema.get("oneOf")), *listed(schema.get("anyOf"))][:1]:
            merged |= self._schema(part, depth + 1)
        merged |= {name: value for name, value in schema.items() if name not in ("allOf", "oneOf", "anyOf")}
        if "items" in merged:
            merged["items"] = self._schema(merged["items"], depth + 1)
        return merged

    def _mapping(self, node: Any, where: str) -> dict[str, Any]:
        """The mapping at a place of the file, its reference followed."""
        for _ in range(MOST_REFERENCES):
            if not isinstance(node, dict):
                raise self._refusal(f"has no mapping where one must be: {where}")
            if "$ref" not in node:
                return node
            node = self._referred(str(node["$ref"]))
        raise self._refusal(f"has references that lead to each other: {where}")

    def _referred(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            raise self._refusal(f"refers to another file, which is not followed: {reference}; put all into one file")
        node: Any = self.root
        for name in reference[2:].split("/"):
            name = name.replace("~1", "/").replace("~0", "~")
            node = node.get(name) if isinstance(node, dict) else None
        if node is None:
            raise self._refusal(f"refers to what it does not hold: {reference}")
        return node
