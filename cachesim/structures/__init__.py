"""Data structures of compiled policies: heap, lists, slots, marked set, sketch and random numbers."""
