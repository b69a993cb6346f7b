-- MLflow and Prefect keep their tables apart from the requests.
CREATE DATABASE mlflow OWNER ers;
CREATE DATABASE prefect OWNER ers;
