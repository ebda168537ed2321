"""The old home of the core's head `ordinal`, which recipes may still call `healthcare/ordinal`."""

from __future__ import annotations

from headstart.builtin.head_ordinal import Ordinal, grade_probabilities

__all__ = ["Ordinal", "grade_probabilities"]
