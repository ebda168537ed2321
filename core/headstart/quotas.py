"""Quotas: a number dealt out over classes in proportion to their sizes."""

from __future__ import annotations

from collections.abc import Sequence


def largest_remainder(sizes: Sequence[int], total: int) -> list[int]:
    """`total` dealt out in proportion to `sizes`, none above its size (Hamilton's method)."""
    exact = [size * total / sum(sizes) for size in sizes]
    quotas = [int(share) for share in exact]
    order = sorted(range(len(sizes)), key=lambda i: (quotas[i] - exact[i], i))
    for i in order[: total - sum(quotas)]:
        quotas[i] += 1
    return quotas


def quotas_of(sizes: Sequence[int], total: int, reserve: int) -> list[int]:
    """Proportional, but at least one of each where `total` allows, and never into the last `reserve` of one."""
    least = [min(1, max(size - reserve, 0)) if total >= len(sizes) else 0 for size in sizes]
    most = [max(size - reserve, low) for size, low in zip(sizes, least, strict=True)]
    if sum(most) < total:
        most = list(sizes)
    exact = [size * total / sum(sizes) for size in sizes]
    bounds = zip(largest_remainder(sizes, total), least, most, strict=True)
    quotas = [min(max(quota, low), high) for quota, low, high in bounds]
    while (missing := total - sum(quotas)) != 0:
        step = 1 if missing > 0 else -1
        free = [i for i in range(len(sizes)) if (quotas[i] < most[i] if step > 0 else quotas[i] > least[i])]
        quotas[max(free, key=lambda i: step * (exact[i] - quotas[i]))] += step
    return quotas
