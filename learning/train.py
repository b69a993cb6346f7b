"""The training loop: from a training span to a scorer, with nothing but a callback towards the outside."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from cachesim.capacity import Capacity
from cachesim.features import Float32Array, Normaliser, fit_normaliser
from cachesim.replay import replay
from cachesim.rollout import Decisions, build_oracle, oldest_first
from cachesim.sampled import Stream
from envs.vector import EvictionVecEnv
from learning.policies import SharedScorerActorCritic, SharedScorerDQN, scorer_of
from learning.scorer import ScorerNet
from schemas.trace import FloatArray, Trace

OnMetric = Callable[[str, float, int], None]
OnProgress = Callable[[int, int], None]

PARALLEL_CACHES = 64
TRAINING_CANDIDATES = 16
RESYNCS = 6
AVERAGED_SHARE = 0.5  # the last half of the updates


def linear(first: float, last: float) -> Callable[[float], float]:
    """Return a schedule that falls linearly with the progress that remains (1 to 0)."""
    return lambda remaining: last + (first - last) * remaining


def build_ppo(env, learning_rate, batch_size, seed, device):
    rate = 2e-3 if learning_rate is None else learning_rate
    return PPO(SharedScorerActorCritic, env, learning_rate=linear(rate, 0), n_steps=32, batch_size=batch_size or 1024, n_epochs=2,
        gamma=0.0, ent_coef=0.003, seed=seed, device=device)

def build_a2c(env, learning_rate, batch_size, seed, device):
    rate = 2e-3 if learning_rate is None else learning_rate
    return A2C(SharedScorerActorCritic, env, learning_rate=linear(rate, 0), n_steps=8, gamma=0.0, ent_coef=0.003, use_rms_prop=False,
        normalize_advantage=True, seed=seed, device=device)

def build_dqn(env, learning_rate, batch_size, seed, device):
    rate = 2e-3 if learning_rate is None else learning_rate
    return DQN(SharedScorerDQN, env, learning_rate=linear(rate, 0), buffer_size=100_000, batch_size=batch_size or 256, gamma=0.0,
        learning_starts=4096, train_freq=1, gradient_steps=2, target_update_interval=10_000, exploration_fraction=.3, exploration_final_eps=0.1, seed=seed, device=device)


class _Follow(BaseCallback):
    def __init__(self, decisions_env, on_metric, on_progress, total):
        super().__init__()
        self.e=decisions_env; self.on_metric=on_metric; self.on_progress=on_progress; self.total=total
        self.avg=None; self.n=0; self.next_sync=total//RESYNCS
        self.rew=[]
    def _on_step(self):
        self.rew.append(self.locals["rewards"].mean())
        return True
    def _on_rollout_end(self):
        t=self.num_timesteps
        if t>=self.total*AVERAGED_SHARE:
            sd=scorer_of(self.model.policy).state_dict()
            self.n+=1
            if self.avg is None: self.avg={k:v.clone().double() for k,v in sd.items()}
            else:
                for k,v in sd.items(): self.avg[k]+=(v.double()-self.avg[k])/self.n
        if t>=self.next_sync and t<self.total:
            self.next_sync+=self.total//RESYNCS
            h=self.e.resync(scorer_of(self.model.policy).compiled(self.e.decisions.normaliser))
            self.on_metric("hit_ratio",h,t)
            self.on_metric("reward",float(np.mean(self.rew)),t); self.rew=[]


BUILD={"ppo":build_ppo,"a2c":build_a2c,"dqn":build_dqn}

def train(span: Trace, stream: Stream, capacity, values, algorithm, timesteps, seed, on_metric, lr=None, k=16, device="cpu"):
    torch.set_num_threads(1)
    age=replay(span,"lru",capacity).mean_eviction_age_requests
    oracle=build_oracle(span,capacity,values,age)
    d=Decisions(stream,oracle,span.n_keys,batch=PARALLEL_CACHES,candidates=k,seed=seed)
    d.resync(oldest_first(d.n_features))
    d.reset()
    raw=[d.rows.reshape(-1,d.n_features).copy()]
    rng=np.random.default_rng(seed)
    for _ in range(64):
        d.step(rng.integers(0,k,PARALLEL_CACHES)); raw.append(d.rows.reshape(-1,d.n_features).copy())
    d.normaliser=fit_normaliser(np.concatenate(raw),span.column_names,capacity.mean_objects(span))
    env=EvictionVecEnv(d,"loss" if algorithm=="dqn" else "advantage")
    m=BUILD[algorithm](env,lr,None,seed,device)
    cb=_Follow(env,on_metric,None,timesteps)
    m.learn(timesteps,callback=cb)
    net=copy.deepcopy(scorer_of(m.policy))
    net.load_state_dict({k:v.float() for k,v in cb.avg.items()})
    return net,d.normaliser
