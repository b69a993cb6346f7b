"""Learned decisions at a miss: admission and time to live."""
