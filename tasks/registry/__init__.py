"""The model registry: versions in MLflow, and their mirror and history in SQL, which agree whatever is killed when."""
