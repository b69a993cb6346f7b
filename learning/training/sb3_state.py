"""What a Stable-Baselines3 training depends on from one rollout to the next, as plain data and back.

The caches, or decisions to draw from, are left out: a replay loads them anew where a snapshot is taken.
"""

import json
import random
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from envs.vector import Decisions
from learning.training.bandits import BanditDQN
from learning.training.buffers import JudgedReplay
from learning.training.checkpoint import State

_COUNTERS = ("num_timesteps", "_n_updates", "_current_progress_remaining", "_n_calls", "exploration_rate")
_STORED = ("observations", "costs")  # arrays of the buffer of DQN


def capture(model: BaseAlgorithm, decisions: Decisions) -> State:
    """Return the state of the model, of all random numbers, and of what draws in `decisions`."""
    return {
        "counters": {name: getattr(model, name) for name in _COUNTERS if hasattr(model, name)},
        "policy": model.policy.state_dict(),
        "optimizer": model.policy.optimizer.state_dict(),
        "buffer": _buffer_state(model.replay_buffer) if isinstance(model, BanditDQN) else None,
        "actions": json.dumps(_generator(model).bit_generator.state),
        "decisions": json.dumps(decisions.random_state()),
        "global": _global_state(model.device),
    }


def restore(model: BaseAlgorithm, decisions: Decisions, state: State) -> None:
    """Go back to what `capture` returned."""
    for name, value in state["counters"].items():
        setattr(model, name, value)
    model.policy.load_state_dict(state["policy"])
    model.policy.optimizer.load_state_dict(state["optimizer"])
    if isinstance(model, BanditDQN):
        _restore_buffer(model.replay_buffer, state["buffer"])
    _generator(model).bit_generator.state = json.loads(state["actions"])
    decisions.restore_random(json.loads(state["decisions"]))
    _restore_global(state["global"], model.device)


def _generator(model: BaseAlgorithm) -> np.random.Generator:
    generator: np.random.Generator = model.action_space.np_random
    return generator


def _buffer_state(buffer: JudgedReplay) -> State:
    kept = {name: torch.from_numpy(getattr(buffer, name)[: buffer.kept]) for name in _STORED}
    return {"arrays": kept, "position": buffer.pos, "full": buffer.full}


def _restore_buffer(buffer: JudgedReplay, state: State) -> None:
    buffer.pos, buffer.full = state["position"], state["full"]
    for name, kept in state["arrays"].items():
        getattr(buffer, name)[: buffer.kept] = kept.numpy()


def _global_state(device: torch.device) -> State:
    """Return the state of the global generators, which Stable-Baselines3 seeds and draws from."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": json.dumps(random.getstate()),
        "numpy": json.dumps([name, np.asarray(keys).tolist(), *rest]),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def _restore_global(state: State, device: torch.device) -> None:
    kind, internal, gauss = json.loads(state["python"])
    random.setstate((kind, tuple(internal), gauss))
    name, keys, *rest = json.loads(state["numpy"])
    legacy: Any = (name, np.array(keys, np.uint32), *rest)
    np.random.set_state(legacy)
    torch.set_rng_state(state["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
