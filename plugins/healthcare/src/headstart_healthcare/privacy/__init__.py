"""Keeping names of people out of everything that is printed or written."""
