"""Attributions: how much each word of a text speaks for an answer, and how much against it."""
