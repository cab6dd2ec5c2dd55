"""The customer's tables: how their files are found, looked at and read."""
