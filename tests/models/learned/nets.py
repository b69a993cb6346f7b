"""Networks that nobody trained, and the options with which the learned policies run in tests."""

from typing import Any

import numpy as np

from cachesim.eviction.scorer import Scorer, build_scorer
from cachesim.features.table import FEATURES, feature_table, fit_normaliser
from cachesim.replay import LEARNED


def random_net(objects: float, seed: int = 0, column_names: tuple[str, ...] = ()) -> Scorer:
    """A network of random weights behind a normaliser that keeps its inputs small."""
    rng, f = np.random.default_rng(seed), len(feature_table(column_names))
    shapes = ((32, f), (32,), (32, 32), (32,), (32,), (1,))
    layers = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    rows = (2.0 ** rng.uniform(0, 12, (500, f))).astype(np.float32)
    return build_scorer(fit_normaliser(rows, column_names, objects), *layers)


def options(objects: float, scorer: Scorer | None = None, **others: Any) -> dict[str, Any]:
    """Options of policy `learned` for a cache of so many objects and requests of unknown load time."""
    scorer = random_net(objects) if scorer is None else scorer
    columns = scorer.normaliser.transform.size - len(FEATURES)
    missing = np.zeros(1 + columns, np.float32)
    return {"scorer": scorer, "capacity_objects": objects, "missing": missing, "candidates": 8, **others}


OPTIONS: dict[str, dict[str, Any]] = {policy: options(20.0, n_endpoints=9) for policy in LEARNED}
"""What a policy needs beside a capacity; nothing, when it is not here."""
