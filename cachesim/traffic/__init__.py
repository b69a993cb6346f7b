"""Generators of synthetic traffic."""
