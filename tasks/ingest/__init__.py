"""Ingestion: requests from files into the request table."""
