"""Reports of a night: summary, Prometheus, MLflow."""
