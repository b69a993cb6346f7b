"""Learned eviction: caches with sampled candidates, decisions to learn from, decision log and scorer."""
