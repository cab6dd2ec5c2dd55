"""Exact top-k in float32 by blocks of users (NumPy), and its Spark side."""
