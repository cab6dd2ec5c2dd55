"""The files that marketing tools load: profiles, cells, lines, and what changed since the last."""
