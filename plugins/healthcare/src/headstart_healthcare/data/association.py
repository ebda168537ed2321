"""Association of site and label: where one hospital has most of the sick, a network learns the hospital (Zech et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WARN_FROM = 0.2  # Cohen 1988, section 7.2: 0.1 small, 0.3 medium, for a table with one degree of freedom


def cramers_v(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Cramer's V with the bias correction of Bergsma 2013; 0 = none, 1 = one tells the other; None = one value only."""
    rows, columns = sorted(set(first)), sorted(set(second))
    count = len(first)
    if len(rows) < 2 or len(columns) < 2:
        return None
    table = np.zeros((len(rows), len(columns)))
    for a, b in zip(first, second, strict=True):
        table[rows.index(a), columns.index(b)] += 1
    expected = table.sum(1, keepdims=True) * table.sum(0) / count
    phi = float(((table - expected) ** 2 / expected).sum()) / count
    r, c = table.shape
    corrected = max(0.0, phi - (r - 1) * (c - 1) / (count - 1))
    r_, c_ = r - (r - 1) ** 2 / (count - 1), c - (c - 1) ** 2 / (count - 1)
    return float(np.sqrt(corrected / min(r_ - 1, c_ - 1))) if min(r_, c_) > 1 else None
