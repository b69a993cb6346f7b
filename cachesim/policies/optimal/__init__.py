"""Offline policies that know the future: Belady's MIN, with and without bypass."""
