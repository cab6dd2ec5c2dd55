"""Exact top-k in float32 by blocks of users (torch), and its Spark side."""
