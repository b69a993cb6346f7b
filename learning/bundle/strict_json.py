"""The JSON of a bundle: read strictly, written plainly, and named by its content."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from schemas.errors import BundleError

Part = TypeVar("Part", bound=BaseModel)
SHORT = 200  # characters of another's message that are shown


def read_json(content: bytes, what: str) -> Any:
    """Return the document in `content`, UTF-8, which `what` names in an error.

    Raises:
        BundleError: it is no JSON, a field is there twice, or a number is NaN or infinite.
    """
    try:
        return json.loads(content.decode(), parse_constant=_refuse, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{what} is not valid JSON: {one_line(error)}; export it again") from None


def content_sha256(document: Mapping[str, object], what: str) -> str:
    """Return the sha256 of `document`, which `what` names in an error, as canonical JSON without its field `sha256`.

    Canonical: keys sorted, no white space, ASCII, numbers as Python writes them. Two documents of the same content
    have the same one, however they are laid out; 1 and 1.0 differ.

    Raises:
        BundleError: a number is NaN or infinite, or the document is nested too deep.
    """
    content = {name: value for name, value in document.items() if name != "sha256"}
    try:
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{what} is not valid JSON: {one_line(error)}; export it again") from None
    return hashlib.sha256(canonical.encode()).hexdigest()


def validated(part: type[Part], document: object, what: str) -> Part:
    """Return `document` as a `part`; `what` names it in an error.

    Raises:
        BundleError: a field is missing, unknown or of another type.
    """
    try:
        return part.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BundleError(f"{what}: {one_line(where)}: {one_line(first['msg'])}; export it again") from None


def one_line(error: object) -> str:
    """Return the first line of a message that others made, shortened, and without what a terminal cannot show."""
    first = str(error).strip().partition("\n")[0][:SHORT]
    return "".join(character if character.isprintable() else "?" for character in first)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice")
    return fields
