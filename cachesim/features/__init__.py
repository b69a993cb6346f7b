"""Features of objects: the feature table, the history of keys, fetches and categories."""
