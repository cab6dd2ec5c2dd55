"""The customer's tables: how their values are read and compared."""
