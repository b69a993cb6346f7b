"""Evaluation of a policy on the test split, with baselines, intervals and rank tests."""
