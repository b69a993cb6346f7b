-- MLflow keeps its tables apart from the requests.
CREATE DATABASE mlflow CHARACTER SET utf8mb4;
GRANT ALL PRIVILEGES ON mlflow.* TO 'ers'@'%';
