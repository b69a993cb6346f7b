"""Bundle: the exported policy with its metadata and golden scores."""
