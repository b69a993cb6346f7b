"""Validation: expectations on rows, quarantine and data docs."""
