"""A program that loads mutated bundles and tells which of them loaded: `python -m ... FOLDER SEED COUNT`.

Each example changes one file of an exported bundle, or two, and puts the originals back. The last line printed is a
JSON object; a process that died prints none.
"""

import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from learning.bundle.load import FILES, METADATA, load_bundle
from schemas.errors import BundleError
from tests.learning.bundle.bundles import export

Files = dict[str, bytes]
RELAID = 0.001  # share of the examples that lay out the same metadata anew; loading them takes a hundred times longer


def flipped(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def replaced(rng: random.Random, content: bytes) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + rng.randbytes(rng.choice((1, 2, 40))) + content[at + rng.choice((0, 1, 2, 40)) :]


def truncated(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content))]


def extended(rng: random.Random, content: bytes) -> bytes:
    return content + rng.choice((b"\n", b"\0", b"{}", b",", content, rng.randbytes(rng.randrange(1, 64))))


def cut(rng: random.Random, content: bytes) -> bytes:
    start, stop = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:start] + content[stop:]


BYTES: tuple[Callable[[random.Random, bytes], bytes], ...] = (flipped, replaced, truncated, extended, cut)


def changed_json(rng: random.Random, content: bytes) -> bytes:
    """Change, remove, add, rename or duplicate one field or element of a JSON document, at any depth."""
    document = json.loads(content)
    inner: Any = document
    while True:
        key = rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        if not (isinstance(inner[key], dict | list) and inner[key]) or rng.random() < 0.2:
            break
        inner = inner[key]
    kind = rng.choice(("change", "change", "remove", "add", "twice"))
    if kind == "change":
        inner[key] = other_value(rng, inner[key])
    elif kind == "remove":
        del inner[key]
    elif kind == "add" and isinstance(inner, dict):
        inner[f"{key}_{rng.randrange(9)}"] = inner[key]
    elif isinstance(inner, list):
        inner.insert(key, inner[key])
    else:  # a field that is there twice, the same or another value first
        once = json.dumps({key: inner[key]})[1:-1]
        first = json.dumps({key: rng.choice((inner[key], None))})[1:-1]
        return json.dumps(document).replace(once, f"{first}, {once}", 1).encode()
    return json.dumps(document).encode()


def other_value(rng: random.Random, value: Any) -> Any:
    others: list[Any] = [None, True, [], {}, "", -1, 0, 1e308, 2**70, "\ud800", [value], {"x": value}]
    if isinstance(value, str):
        others += [value + " ", value.upper(), value[::-1], value + "\0"]
    elif isinstance(value, int | float):
        others += [value + 1, -value, float(value), int(value), str(value), value * (1 + 1e-15)]
    return rng.choice(others)


def relaid(rng: random.Random, content: bytes) -> bytes:
    """Write the same document with its fields in another order and other white space."""

    def shuffled(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: shuffled(part[name]) for name in rng.sample(list(part), len(part))}
        return [shuffled(element) for element in part] if isinstance(part, list) else part

    return json.dumps(shuffled(json.loads(content)), indent=rng.choice((None, 1, "\t")), ensure_ascii=False).encode()


def mutation(rng: random.Random, originals: Files, foreign: Files) -> Files:
    """Return what some files of the bundle `originals` become; `foreign` is a bundle of another policy."""
    if rng.random() < RELAID:
        return {METADATA: relaid(rng, originals[METADATA])}
    name = rng.choice(FILES)
    kind = rng.random()
    if kind < 0.02:
        other = rng.choice([other for other in FILES if other != name])
        return {name: originals[other], other: originals[name]}
    if kind < 0.04:
        names = rng.sample(FILES, rng.randrange(1, len(FILES)))
        return {name: foreign[name] for name in names}
    if (name == METADATA and kind < 0.6) or (name == "golden.json" and kind < 0.06):
        return {name: changed_json(rng, originals[name])}
    return {name: rng.choice(BYTES)(rng, originals[name])}


def equal_in_content(name: str, content: bytes, original: bytes) -> bool:
    """Return whether a file says the same: the same bytes, or of the metadata the same values of the same types."""
    if content == original or name != METADATA:
        return content == original
    try:
        return tree(content) == tree(original)
    except (ValueError, RecursionError):
        return False


@lru_cache(maxsize=2)
def tree(content: bytes) -> Any:
    """Return a document as nested tuples in which 1 differs from 1.0 and a field that is there twice from one."""

    def frozen(part: Any) -> Any:
        if isinstance(part, list):
            return ("list", *map(frozen, part))
        return part if isinstance(part, tuple) else (type(part).__name__, repr(part))

    def fields(pairs: list[tuple[str, Any]]) -> Any:
        return ("object", *sorted((name, frozen(value)) for name, value in pairs))

    return frozen(json.loads(content.decode("utf-8"), object_pairs_hook=fields))


def main(folder: Path, seed: int, count: int) -> dict[str, Any]:
    """Load `count` mutated bundles made in `folder`; return how many were refused and loaded, and what was wrong."""
    rng, refusals, loaded, wrong = random.Random(seed), Counter[str](), 0, []
    bundle = export(folder / "bundle", n_states=4)
    originals, foreign = read(bundle), read(export(folder / "foreign", n_states=4, seed=1))
    sha256, folder_name = load_bundle(bundle).sha256, str(bundle)
    for _ in range(count):
        changes = mutation(rng, originals, foreign)
        write(folder_name, changes)
        try:
            is_valid, said = load_bundle(bundle).sha256 == sha256, "loaded"
            loaded += 1
        except BundleError as error:
            is_valid, said = False, str(error).removeprefix(f"bundle {bundle}: ")
            refusals[said.split(":")[0].split(";")[0]] += 1
        equal = all(equal_in_content(name, content, originals[name]) for name, content in changes.items())
        if is_valid != equal or not said.isprintable():
            wrong.append({"said": said, "equal": equal, "files": {n: repr(c[:3000]) for n, c in changes.items()}})
        write(folder_name, {name: originals[name] for name in changes})
    return {"refused": refusals.total(), "loaded": loaded, "wrong": wrong[:5], "refusals": refusals}


def read(bundle: Path) -> Files:
    return {name: (bundle / name).read_bytes() for name in FILES}


def write(bundle: str, files: Files) -> None:
    for name, content in files.items():
        with open(f"{bundle}/{name}", "wb", buffering=0) as file:  # noqa: PTH123  a third of what pathlib takes
            file.write(content)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))  # noqa: T201
