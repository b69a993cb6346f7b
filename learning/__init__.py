"""Stable-Baselines3 at work: networks, training loop, evaluation and the exported bundle. No Prefect, no MLflow, no SQL."""
