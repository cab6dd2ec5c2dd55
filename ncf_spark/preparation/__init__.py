"""Raw events to interactions, indexes, item activity and the split: PySpark, pure."""
