"""The local stack: a Prefect server, an MLflow server and a worker, as processes of this machine.

Both programs are spoken to by their command lines and by HTTP, so that nothing here imports them.
"""
