"""The text plugin of headstart."""
