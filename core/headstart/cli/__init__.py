"""The command line; importing it imports neither torch nor pydantic nor rich."""
