"""Masked language modelling on texts without labels: an encoder gets to know a domain before it learns a task."""
