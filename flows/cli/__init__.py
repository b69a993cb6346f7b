"""Command line: arguments, options and exit status."""
