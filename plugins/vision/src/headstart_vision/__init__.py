"""The vision plugin of headstart."""
