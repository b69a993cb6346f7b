"""Settings, the database engine and its migrations."""
