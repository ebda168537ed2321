"""The healthcare plugin of headstart."""
