"""The clinical part of the report, drawn from `metrics.json` alone."""
