"""Exact top-k by blocks of users and items, and its Spark side."""
