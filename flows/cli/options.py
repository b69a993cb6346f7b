"""Command-line options of a flow, made from the fields of its configuration."""

import argparse
import textwrap
import types
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from schemas.errors import ConfigError
from schemas.options.train import Config, FlowConfig, nearest, parse

BOUND_SIGNS = {Ge: ">=", Gt: ">", Le: "<=", Lt: "<"}


class _Parser(argparse.ArgumentParser):
    """An argparse parser that raises instead of printing its usage and leaving."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


class _Help(argparse.HelpFormatter):
    """Lines of 100 characters that cut no name at its dashes."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=100)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


def read_options(flow: str, config: type[Config], words: list[str]) -> tuple[Config, bool]:
    """Return the options in `words` as a `config`, and whether the result is wanted as JSON.

    An empty value leaves its option as it is by default, as an empty variable does: `--source= --seed=`.

    Raises:
        ConfigError: one line that names each unknown or wrong option and what it takes.
        SystemExit: help was asked for and printed.
    """
    options, unknown = _flow_parser(flow, config).parse_known_args(words)
    _refuse_unknown(unknown, config)
    given = vars(options)
    as_json = given.pop("json", False)
    values = {name: _shaped(name, config.model_fields[name], value) for name, value in given.items() if any(value)}
    return parse(config, values), as_json


def summary_line(config: type[FlowConfig]) -> str:
    """Return the first line of the docstring of `config`."""
    return (config.__doc__ or "").strip().splitlines()[0]


def _flow_parser(flow: str, config: type[FlowConfig]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"python -m flows {flow}",
        description=summary_line(config),
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=_Help,
    )
    for name, field in config.model_fields.items():
        text = f"{field.description} {_note(field)}".replace("%", "%%")
        parser.add_argument(_flag(name), dest=name, metavar=_metavar(name, field), help=text, **_arity(field))
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object; all else to stderr")
    return parser


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _refuse_unknown(words: list[str], config: type[FlowConfig]) -> None:
    if not words:
        return
    known = [_flag(name) for name in config.model_fields] + ["--json", "--help"]
    word = words[0]
    if not word.startswith("-"):
        raise ConfigError(f"unexpected {word!r}: options are given as --name value; --help lists them")
    flag = word.split("=")[0]
    raise ConfigError(f"unknown option {flag}{nearest(flag.replace('_', '-'), known)}")


def _base_type(field: FieldInfo) -> Any:
    """The type of a field, without "or None"."""
    if get_origin(field.annotation) in (Union, types.UnionType):
        return next(part for part in get_args(field.annotation) if part is not type(None))
    return field.annotation


def _holds_many(field: FieldInfo) -> bool:
    return get_origin(_base_type(field)) in (tuple, dict)


def _arity(field: FieldInfo) -> dict[str, Any]:
    """Return how argparse is to take the words of a field: one, some, or, of a boolean, none for true."""
    if _holds_many(field):
        return {"nargs": "+", "action": "extend"}
    return {"nargs": "?", "const": "true"} if _base_type(field) is bool else {}


def _metavar(name: str, field: FieldInfo) -> str:
    kind = _base_type(field)
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if get_origin(kind) is dict:
        return "NAME=VALUE"
    return name.rsplit("_", 1)[-1].upper()


def _note(field: FieldInfo) -> str:
    """Say the range and the default of a field: "(>= 1; default 100000)"."""
    bounds = [f"{sign} {getattr(b, attribute)}" for b in field.metadata for attribute, sign in _signs(b)]
    if field.is_required():
        notes = [*bounds, "required"]
    else:
        default = " ".join(field.default) if isinstance(field.default, tuple) else field.default
        notes = [*bounds, f"default {default}"] if field.default not in (None, (), {}) else bounds
    return f"({'; '.join(notes)})" if notes else ""


def _signs(bound: object) -> list[tuple[str, str]]:
    return [(kind.__name__.lower(), sign) for kind, sign in BOUND_SIGNS.items() if isinstance(bound, kind)]


def _shaped(name: str, field: FieldInfo, value: Any) -> Any:
    """Split the words of a field of many values at commas; give a mapping its names."""
    if not _holds_many(field):
        return value
    items = [item.strip() for word in value for item in word.split(",") if item.strip()]
    return items if get_origin(_base_type(field)) is tuple else dict(_pair(name, item) for item in items)


def _pair(name: str, item: str) -> tuple[str, str]:
    key, sign, value = item.partition("=")
    if not (key and sign and value):
        raise ConfigError(f"{name}: takes NAME=VALUE, got {item!r}")
    return key.strip(), value.strip()
