"""What the parts agree on: SQL tables, the Trace, options, expectations, bundle metadata and the exceptions."""
