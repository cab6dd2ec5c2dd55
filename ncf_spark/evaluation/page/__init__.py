"""The evaluation as one HTML page; import it on the driver only."""
