"""Promotion: challenger against champion, and the gate."""
