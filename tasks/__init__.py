"""Every side effect of the pipeline: SQL, MLflow and files, with what makes each safe to repeat."""
