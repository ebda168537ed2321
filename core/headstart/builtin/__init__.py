"""The core's own parts; they come in by the same hooks as any plugin's."""
