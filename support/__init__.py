"""Process identity and atomic writes."""
