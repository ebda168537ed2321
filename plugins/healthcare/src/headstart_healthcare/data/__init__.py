"""Data parts of clinical pictures and volumes."""
