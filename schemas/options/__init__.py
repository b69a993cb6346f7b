"""Options of the flows, one module a flow."""
