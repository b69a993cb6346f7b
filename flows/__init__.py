"""Prefect flows, one file a flow, wiring only; `python -m flows` is the command line."""
