"""What is said of a night: summary, Prometheus, MLflow."""
