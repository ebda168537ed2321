"""Explanations: which part of a picture or volume an answer hangs on, and whether that says anything."""
