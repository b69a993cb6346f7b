"""Guarded policy: the learned policy races classical ones, and the cache follows the leader."""
