"""Reports of an evaluation: JSON, text and plots."""
