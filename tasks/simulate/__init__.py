"""Simulation: made-up requests, recorded or sent to a server."""
