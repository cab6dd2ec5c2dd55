"""Measurement: what the users of each arm did after a campaign."""
