"""Tagging: one tag for each word of a text, such as the names of people and places in it."""
