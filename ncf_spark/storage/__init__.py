"""Run directories, Parquet in and out, manifests and the pointer to the published run."""
