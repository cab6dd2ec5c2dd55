"""Nightly NeuMF recommendations on Spark: events in, campaign-ready top-k tables out."""

__version__ = "0.1.0"
