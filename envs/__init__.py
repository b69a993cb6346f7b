"""Gymnasium environments over the cache simulator. `register` makes them known to `gymnasium.make`."""

import gymnasium as gym

CACHE_EVICTION = "ers/CacheEviction-v0"


def register() -> None:
    """Register the environments with Gymnasium; a second call changes nothing."""
    if CACHE_EVICTION not in gym.registry:
        gym.register(CACHE_EVICTION, entry_point="envs.cache_eviction:CacheEvictionEnv")
