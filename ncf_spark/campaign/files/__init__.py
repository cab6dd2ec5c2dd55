"""The files that marketing tools load: profiles, cells, rows, and changes since the last export."""
