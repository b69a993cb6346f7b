"""Drift: detection on recent requests, report and plot."""
