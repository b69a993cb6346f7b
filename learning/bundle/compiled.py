"""A bundle's network for the compiled replay: the kernel that trained and evaluated it serves it as well.

Neither Gymnasium nor Stable-Baselines3 is imported, and nothing is unpickled: TorchScript gives the weights.
"""

import numpy as np
import torch

from cachesim.eviction.scorer import Scorer, score_raw
from cachesim.features.categories import Indicator
from cachesim.features.table import TRANSFORMS, Feature, Float32Array, Normaliser, feature_table
from cachesim.miss.decider import Decider, scores_of
from cachesim.miss.kernels import miss_features
from learning.bundle.golden import require_close
from learning.bundle.load import GOLDEN, LoadedBundle
from learning.networks import DecisionNet, ExportedPolicy, PolicyNet, ScorerNet, normaliser_of
from schemas.bundle import BundleMetadata
from schemas.errors import BundleError


def compiled_policy(bundle: LoadedBundle) -> Scorer | Decider:
    """Return the network of a loaded bundle for the compiled replay.

    Raises:
        BundleError: the network or its features are not such as this program replays, or the compiled one does not
            give the golden scores.
    """
    wanted = [feature.transform for feature in bundle_features(bundle.metadata)]
    exported = _exported(bundle)
    normaliser = normaliser_of(exported)
    if normaliser.transform.tolist() != wanted:
        raise BundleError(f"bundle {bundle.folder}: its network transforms features in another way; train it again")
    policy = exported.net.compiled(normaliser)
    scores = bundle.golden.scored_by(lambda rows: compiled_scores(policy, rows))
    require_close(f"bundle {bundle.folder}: the compiled network against {GOLDEN}", scores, bundle.golden.scores)
    return policy


def compiled_scores(policy: Scorer | Decider, raw: Float32Array) -> Float32Array:
    """Return the scores of raw features float32 (n, f) as the replay computes them: (n,), or (n, actions)."""
    if isinstance(policy, Decider):
        return scores_of(policy, raw)
    scores: Float32Array = score_raw(policy, raw)
    return scores


def bundle_features(metadata: BundleMetadata) -> tuple[Feature, ...]:
    """Return the inputs of the network, in order, as this program computes them.

    Raises:
        BundleError: the bundle was trained on other ones.
    """
    names, indicators = bundle_columns(metadata)
    every = (*names, *(indicator.name for indicator in indicators))
    if metadata.actions is None:
        table = feature_table(every, indicators)
    else:
        table = miss_features(every, metadata.decision == "ttl", indicators)
    ours = [(f.name, f.unit, f.column, f.category, TRANSFORMS[f.transform]) for f in table]
    theirs = [(f.name, f.unit, f.column, f.category, f.transform) for f in metadata.features]
    if ours != theirs:
        other = ", ".join(sorted({name for name, *_ in {*ours} ^ {*theirs}})) or "in another order"
        raise BundleError(f"the bundle's features are not those of this program ({other}); train it again")
    return table


def bundle_columns(metadata: BundleMetadata) -> tuple[tuple[str, ...], tuple[Indicator, ...]]:
    """Return the columns of numbers that the policy reads, and the texts that are 0 or 1 behind them, in order."""
    columns = [feature for feature in metadata.features if feature.column]
    names = tuple(feature.column for feature in columns if feature.category is None)
    return names, tuple(Indicator(f.column, f.category) for f in columns if f.category is not None)


def _exported(bundle: LoadedBundle) -> ExportedPolicy:
    """Return the network as it was before its export, without a look at the code of the TorchScript file."""
    state = dict(bundle.module.state_dict())
    first, last = state.get("net.first.weight"), state.get("net.last.weight")
    try:
        if first is None or last is None:
            raise RuntimeError("it has no layers net.first and net.last")
        exported = ExportedPolicy(_net(bundle, first.shape, last.shape), _blank(len(bundle.metadata.features)))
        exported.load_state_dict(state)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise BundleError(f"bundle {bundle.folder}: its network cannot be compiled: {reason}; train it again") from None
    return exported


def _net(bundle: LoadedBundle, first: torch.Size, last: torch.Size) -> PolicyNet:
    hidden, n_features = first
    outputs, actions = last[0], bundle.metadata.actions
    if actions is None:
        return ScorerNet(n_features, hidden)
    if outputs != len(actions.lifetimes_s):
        raise ValueError(f"it scores {outputs} actions, and the bundle describes {len(actions.lifetimes_s)}")
    return DecisionNet(n_features, outputs, hidden)


def _blank(n_features: int) -> Normaliser:
    arrays = (np.zeros(n_features, np.float32) for _ in range(3))  # of their own: they are written over
    return Normaliser(np.zeros(n_features, np.int64), *arrays)
