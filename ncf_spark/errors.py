"""The errors that a user can meet, with the exit status that each ends a job with."""

from __future__ import annotations


class ConfigError(Exception):
    """A setting is unknown, out of range or at odds with another (exit status 2)."""


class SchemaError(Exception):
    """A table lacks a column or holds one of another type (exit status 2)."""


class DataError(Exception):
    """The data cannot be used as it is (exit status 2)."""


class RefusedError(Exception):
    """A gate refused to publish (exit status 3)."""


class LockedError(Exception):
    """Another run writes to the warehouse (exit status 1)."""


class WorkerError(Exception):
    """The workers failed, and would again, or did too often (exit status 1)."""
