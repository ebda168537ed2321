"""The version, apart from the package's public names so that core modules can ask for it without importing those."""

__version__ = "0.1.0"
