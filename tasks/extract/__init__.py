"""Extraction: rows of the request table as a trace."""
