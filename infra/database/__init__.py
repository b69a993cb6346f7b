"""Database: connections, engines, schema and migrations."""
