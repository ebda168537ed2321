"""Heads for grades, findings that are partly unknown, and bags of slices or patches."""
