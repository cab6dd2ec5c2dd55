"""Campaigns: who gets which recommendations, and the tables and files that are sent."""
