"""Policies whose objects expire, and their deadlines."""
