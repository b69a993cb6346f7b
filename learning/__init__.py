"""Stable-Baselines3 at work: networks, training loop, evaluation, exported bundle. No Prefect, no MLflow, no SQL."""
