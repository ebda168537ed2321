"""The backbones of the vision plugin, one family in each module."""
