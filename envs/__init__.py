"""Gymnasium environments over the cache simulator. `register` makes them known to `gymnasium.make`."""

import gymnasium as gym

CACHE_EVICTION = "ers/CacheEviction-v0"
CACHE_ADMISSION = "ers/CacheAdmission-v0"
CACHE_TTL = "ers/CacheTtl-v0"

ENTRY_POINTS = {
    CACHE_EVICTION: "envs.cache_eviction:CacheEvictionEnv",
    CACHE_ADMISSION: "envs.cache_admission:CacheAdmissionEnv",
    CACHE_TTL: "envs.cache_ttl:CacheTtlEnv",
}


def register() -> None:
    """Register the environments with Gymnasium; a second call changes nothing."""
    for name, entry_point in ENTRY_POINTS.items():
        if name not in gym.registry:
            gym.register(name, entry_point=entry_point)
