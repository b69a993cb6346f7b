"""Prefect glue: run context, run page, local server and task runners."""
