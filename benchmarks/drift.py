"""How often `monitor` says drift: where nothing has changed, and where something has.

    python -m benchmarks.drift [--json] [--seeds 3] [--requests 100000] [--traces web12 orm_busy ...]

The first 70 % of the requests are those that a policy was made from (A2C, trained on the first 60 % of them, cache of
500 objects). What comes later is checked window by window, each against the same reference, with the default options.
"Changed" traffic is the same with a change from the end of the reference on.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.command import main, markdown, progress
from benchmarks.traces import shared_trace
from benchmarks.training import trained
from cachesim.traffic.energy import DAY_S
from learning.problem import build_problem
from learning.run_policy import replay_policy
from schemas.options.monitor import SMALLEST_WINDOW, DriftConfig
from schemas.options.simulate import SimulateConfig
from schemas.options.train import TrainConfig
from tasks.drift.detect import Family, cut, features_family, hits_family
from tasks.drift.psi import binned, profile_of
from tasks.drift.windows import Windows
from tasks.extract.to_trace import to_trace
from tasks.simulate.traffic import simulated_traffic

READ, TRAINED = 0.7, 0.42  # shares of the requests: those that the policy was made from, those that it learned from
CACHE_OBJECTS, TIMESTEPS = 500, 20_000
LOOSE = 0.05  # a chance that enough checks are made for, to see whether it holds
TRACES = ("web12", "orm_busy", "w106_block", "cloudphysics_io", "lirs_multi3")
WEEKS_S = 28.0 * DAY_S
TRAFFIC: dict[str, dict[str, Any]] = {
    "zipf": {"profile": "zipf", "duration_s": WEEKS_S},
    "uniform": {"profile": "uniform", "duration_s": WEEKS_S},
    "diurnal, 4 weeks": {"profile": "diurnal", "duration_s": WEEKS_S},
    "energy, 10 days": {"profile": "energy"},
    "news (profile drift)": {"profile": "drift", "duration_s": WEEKS_S},
}
DEFAULTS = DriftConfig()
Change = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


def _times(column: str, factor: float) -> Change:
    return lambda rows, _: rows.assign(**{column: (rows[column] * factor).round().astype(rows[column].dtype)})


def _faster(factor: float) -> Change:
    def change(rows: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
        first = int(rows["timestamp"].iloc[0])
        return rows.assign(timestamp=first + ((rows["timestamp"] - first) / factor).astype(np.int64))

    return change


def _strangers(share: float) -> Change:
    def change(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        keys = rows["cache_key"].cat.categories.to_numpy()
        others = keys[rng.integers(0, keys.size, len(rows))]
        asked = np.where(rng.random(len(rows)) < share, others, rows["cache_key"].to_numpy())
        return rows.assign(cache_key=pd.Categorical(asked, categories=keys))

    return change


CHANGES: dict[str, Change] = {
    "load times x 1.1": _times("load_time_ms", 1.1),
    "load times x 1.25": _times("load_time_ms", 1.25),
    "load times x 1.5": _times("load_time_ms", 1.5),
    "sizes x 1.5": _times("size_bytes", 1.5),
    "requests x 1.5 as frequent": _faster(1.5),
    "requests x 3 as frequent": _faster(3.0),
    "10 % of the requests to objects at random": _strangers(0.1),
    "30 % of the requests to objects at random": _strangers(0.3),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--traces", nargs="*", default=TRACES, help="names of shared traces")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return how many checks said drift, by traffic and by change."""
    found: dict[tuple[str, str], list[dict[str, list[float]]]] = {}
    for name, recipe in TRAFFIC.items():
        for seed in range(options.seeds):
            rows = _simulated(SimulateConfig(requests=options.requests, seed=seed, **recipe))
            changes = CHANGES if name in ("zipf", "diurnal, 4 weeks") else {}
            for what, p_values in _checked(rows, changes, seed).items():
                found.setdefault((name, what), []).append(p_values)
            progress(f"{name}, seed {seed}")
    for name in options.traces:
        found[name, "as recorded"] = [_checked(_recorded(name), {}, 0)["none"]]
        progress(name)
    lines = [_line(name, change, many) for (name, change), many in found.items()]
    return {"seeds": options.seeds, "requests": options.requests, "rows": lines}


def _checked(rows: pd.DataFrame, changes: dict[str, Change], seed: int) -> dict[str, dict[str, list[float]]]:
    """Return the smallest p-value of each family at each check, by change and family."""
    read, training = int(READ * len(rows)), int(TRAINED * len(rows))
    config = TrainConfig(
        algorithm="a2c", cache_size=CACHE_OBJECTS, timesteps=TIMESTEPS, test_fraction=1 - TRAINED, seed=seed
    )
    policy = trained(build_problem(to_trace(rows), config), config)
    profile = profile_of(rows.iloc[:training], ())
    found = {}
    for what, change in {"none": lambda rows, _: rows, **changes}.items():
        changed = pd.concat([rows.iloc[:read], change(rows.iloc[read:], np.random.default_rng(seed))])
        features = dict(binned(profile, changed))
        hit = replay_policy(build_problem(to_trace(changed), config), policy, seed)
        found[what] = {
            "features": _p_values(features_family(features, w, DEFAULTS) for w in _cuts(range(read), len(rows))),
            "hits": _p_values(hits_family(hit, w, DEFAULTS, None) for w in _cuts(range(training, read), len(rows))),
        }
    return found


def _cuts(span: range, requests: int) -> Iterator[Windows]:
    """Yield the windows of a check at the end of each window behind the span."""
    end = span.stop + SMALLEST_WINDOW
    while end <= requests:
        windows = cut(span, end, DEFAULTS)
        if isinstance(windows, Windows):
            yield windows
        end += SMALLEST_WINDOW if isinstance(windows, str) else windows.size


def _p_values(families: Iterator[Family]) -> list[float]:
    return [min(one.p_value for one in family.statistics) for family in families]


def _simulated(config: SimulateConfig) -> pd.DataFrame:
    chunks = [chunk.to_pandas() for chunk in simulated_traffic(config).chunks()]
    rows: pd.DataFrame = pd.concat(chunks, ignore_index=True)
    return rows.astype({"cache_name": "category", "cache_key": "category", "size_bytes": "Int64"}).assign(id=rows.index)


def _recorded(name: str) -> pd.DataFrame:
    trace = shared_trace(name)
    columns = {
        "id": np.arange(len(trace)),
        "timestamp": (trace.timestamp_s * 1e6).astype(np.int64),
        "cache_name": pd.Categorical([name] * len(trace)),
        "cache_key": pd.Categorical(trace.key),
        "size_bytes": pd.array(trace.size_bytes, "Int64"),
        "load_time_ms": trace.load_time_ms.astype(np.float64),
        "origin_version": pd.array([None] * len(trace), "Int64"),
    }
    return pd.DataFrame(columns)


def _line(name: str, change: str, many: list[dict[str, list[float]]]) -> dict[str, Any]:
    line: dict[str, Any] = {"traffic": name, "change": change}
    rate = DEFAULTS.false_alarm_rate / 2
    for family in ("features", "hits"):
        p_values = np.concatenate([np.array(one[family]) for one in many])
        line[family] = {
            "checks": int(p_values.size),
            "alarms": int((p_values <= rate).sum()),
            "loose": float((p_values <= LOOSE).mean()) if p_values.size else None,
        }
    return line


def table(result: dict[str, Any]) -> str:
    """Return the result as Markdown: a line a traffic and change."""
    rate = DEFAULTS.false_alarm_rate / 2
    names = ["traffic", "change", *(f"{f}: {what}" for f in ("features", "hits") for what in _heads(rate))]
    rows = [[row["traffic"], row["change"], *_cells(row["features"]), *_cells(row["hits"])] for row in result["rows"]]
    return markdown(names, rows)


def _heads(rate: float) -> tuple[str, str, str]:
    return "checks", f"said drift (chance {rate:.1%})", f"p <= {LOOSE:g}"


def _cells(found: dict[str, Any]) -> list[str]:
    if not found["checks"]:  # too few requests to compare with
        return ["0", "-", "-"]
    share = found["alarms"] / found["checks"]
    return [f"{found['checks']:,}", f"{found['alarms']:,} = {share:.1%}", f"{found['loose']:.1%}"]


if __name__ == "__main__":
    main(__doc__, add_options, measure, table)
