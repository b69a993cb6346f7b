"""Commands that only read: preview, columns and history. They run without Prefect."""
