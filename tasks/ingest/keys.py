"""Keys normalised by rules, so that requests for the same answer share a key.

A key is a request when it is "METHOD target", a URL (http or https), or a path that begins with "/", without blanks in
it. Every other key (a number, a hash, an SQL statement) stays as it is. The rules:

    lower-host      the scheme and the host of a URL in lower case
    sort-query      parameters sorted by name; those of one name keep their order, empty ones go
    drop-fragment   what follows "#" goes, of a URL or after a method; a bare path may mean something else by it
    drop-volatile   parameters go whose name says that they change with each request or visitor, or whose value is a
                    moment in s, ms or us since 1970
    template-ids    segments of the path that are whole numbers, UUIDs or long hexadecimal numbers become {id}

The first three are safe: they change how a request is written, which hardly a server answers differently. The other two
may merge different answers, and are asked for. Normalising twice is normalising once.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.compute as pc

from schemas.options.train import SAFE_RULES, KeyRule, SourceConfig

REQUEST = re.compile(
    r"(?P<method>[A-Z]{2,16} )?(?:(?P<scheme>(?i:https?)://)(?P<authority>[^\s/?#]*))?"
    r"(?P<path>[^\s?#]*)(?:\?(?P<query>[^\s#]*))?(?P<fragment>#\S*)?"
)
REQUEST_START = r"^(?:[A-Z]{2,16} )?(?:/|(?i:https?)://)"  # understood by Arrow as by Python
WITH_MORE_THAN_A_PATH = r"^(?:[A-Z]{2,16} )?(?:/\S*[?#]|(?i:https?)://)"
VOLATILE = (
    "_", "t", "ts", "timestamp", "nonce", "rand", "random", "rnd", "cb", "cachebust", "cachebuster", "cache_buster",
    "nocache", "no_cache", "sid", "session", "sessionid", "session_id", "phpsessid", "jsessionid", "requestid",
    "request_id", "req_id", "traceid", "trace_id", "correlation_id", "utm_*", "gclid", "fbclid", "msclkid",
    "_ga", "_gl",
)  # fmt: skip
ID_SEGMENT = re.compile(r"\d+|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{16,}", re.ASCII)
ID = "{id}"
MOMENT = re.compile(r"[1-3]\d{9}(?:\d{3}|\d{6}|\.\d{1,6})?", re.ASCII)  # of 2001 to 2096


@dataclass(frozen=True)
class KeyNormaliser:
    """Normalises keys by `rules`.

    Attributes:
        rules: see the module.
        drop: names of parameters that go, whatever the rules; `*` stands for any characters.
        keep: names of parameters that stay, whatever else is said of them.
    """

    rules: frozenset[KeyRule] = frozenset(SAFE_RULES)
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: SourceConfig) -> "KeyNormaliser":
        """Return the normaliser that `config` asks for."""
        return cls(config.rules, config.drop_parameters, config.keep_parameters)

    def normalise(self, key: str) -> str:
        """Return `key` by the rules; unchanged when it is no request."""
        match = REQUEST.fullmatch(key)
        if match is None or not (match["scheme"] or match["path"].startswith("/")):
            return key
        path, fragment = match["path"], match["fragment"] or ""
        if "drop-fragment" in self.rules and (match["method"] or match["scheme"]):
            fragment = ""
        if "template-ids" in self.rules:
            path = "/".join(ID if ID_SEGMENT.fullmatch(segment) else segment for segment in path.split("/"))
        return f"{match['method'] or ''}{self._origin(match)}{path}{self._query(match['query'])}{fragment}"

    def normalise_all(self, keys: pa.Array) -> pa.Array:
        """Return the strings `keys` by the rules, nulls as nulls; each distinct one is normalised once."""
        if not (self.rules or self.drop):
            return keys
        encoded = keys.dictionary_encode()
        distinct = encoded.dictionary
        pattern = REQUEST_START if "template-ids" in self.rules else WITH_MORE_THAN_A_PATH
        may_change = pc.match_substring_regex(distinct, pattern)
        changed = [self.normalise(key) for key in distinct.filter(may_change).to_pylist()]
        if not changed:
            return keys
        return pc.replace_with_mask(distinct, may_change, pa.array(changed, pa.string())).take(encoded.indices)

    def _origin(self, match: re.Match[str]) -> str:
        scheme, authority = match["scheme"] or "", match["authority"] or ""
        if "lower-host" not in self.rules:
            return scheme + authority
        user, at, host = authority.rpartition("@")
        return f"{scheme.lower()}{user}{at}{host.lower()}"

    def _query(self, query: str | None) -> str:
        if query is None:
            return ""
        parameters = query.split("&")
        if self.drop or "drop-volatile" in self.rules:
            parameters = [parameter for parameter in parameters if not self._drops(parameter)]
        if "sort-query" in self.rules:
            parameters = sorted(filter(None, parameters), key=_name)
        return f"?{'&'.join(parameters)}" if parameters else ""

    def _drops(self, parameter: str) -> bool:
        name = _name(parameter)
        if self._kept.fullmatch(name):
            return False
        if self._dropped.fullmatch(name):
            return True
        volatile = "drop-volatile" in self.rules
        return volatile and bool(_VOLATILE.fullmatch(name.lower()) or MOMENT.fullmatch(parameter.partition("=")[2]))

    @cached_property
    def _kept(self) -> re.Pattern[str]:
        return _any_of(self.keep)

    @cached_property
    def _dropped(self) -> re.Pattern[str]:
        return _any_of(self.drop)


def _any_of(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(name).replace(r"\*", ".*") for name in names) or r"(?!)")


def _name(parameter: str) -> str:
    name = parameter.partition("=")[0]
    return unquote_plus(name) if "%" in name or "+" in name else name


_VOLATILE = _any_of(VOLATILE)
