"""Familiar: how far an example's features lie from those of the training examples; no label is needed to tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headstart.features import Features, place_means

AXES = 64  # principal axes that are kept: a vector of 1,280 features then needs 0.3 MB
MOST = 4000  # training examples from which the distribution is learnt
LEAST = 8  # of them; fewer tell no spread
_FLOOR = 1e-6  # share of the largest variance below which none is taken: equal features have no spread to divide by


@dataclass(frozen=True)
class Familiar:
    """A normal distribution over features: its spread along the main axes, and one spread for all others.

    Probabilistic principal components (Tipping and Bishop 1999); the distance is Mahalanobis', as Lee et al. 2018 use it to
    tell unfamiliar inputs. C features, K axes.

    Attributes:
        mean: [C].
        axes: Orthonormal [K, C].
        variances: Along each axis [K].
        rest: Mean variance along all other directions.
    """

    mean: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    rest: float

    def distance(self, vectors: np.ndarray) -> np.ndarray:
        """Of vectors [N, C], in deviations per direction: about 1 for examples like those of training [N]."""
        centred = vectors.astype(np.float64) - self.mean
        along = centred @ self.axes.T  # [N, K]
        beside = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
        squared = (along**2 / self.variances).sum(axis=1) + beside / self.rest
        found: np.ndarray = np.sqrt(squared / len(self.mean))
        return found

    def tensors(self) -> dict[str, Tensor]:
        """To be saved."""
        arrays = {"mean": self.mean, "axes": self.axes, "variances": self.variances, "rest": np.array([self.rest])}
        return {name: torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)) for name, array in arrays.items()}

    @classmethod
    def of_tensors(cls, tensors: dict[str, Tensor]) -> Familiar:
        """What `tensors` gave."""
        mean, axes, variances, rest = (tensors[name].double().numpy() for name in ("mean", "axes", "variances", "rest"))
        return cls(mean, axes, variances, float(rest[0]))


def learn(vectors: np.ndarray) -> Familiar | None:
    """The distribution of training vectors [N, C]; None where there are too few, or all are equal."""
    if len(vectors) < LEAST:
        return None
    values = vectors.astype(np.float64)
    mean = values.mean(axis=0)
    _, singular, axes = np.linalg.svd(values - mean, full_matrices=False)
    variances = singular**2 / (len(values) - 1)
    if variances[0] <= 0:
        return None
    kept = min(AXES, len(variances) - 1, values.shape[1] - 1)
    beyond = variances[kept:].sum() / max(1, values.shape[1] - kept)
    least = _FLOOR * variances[0]
    return Familiar(mean, axes[:kept], np.maximum(variances[:kept], least), float(max(beyond, least)))


def sample(count: int, most: int = MOST, seed: int = 0) -> list[int]:
    """Indices of at most so many of `count` examples, ascending; always the same."""
    if count <= most:
        return list(range(count))
    return sorted(int(index) for index in np.random.default_rng(seed).permutation(count)[:most])


def vectors_of(features: Features, port: str) -> np.ndarray | None:
    """One vector per example [B, C]: tokens and the cells of maps and volumes averaged; None where there is no such port."""
    value = features.get(port)
    if value is None or value.ndim < 2:
        return None
    found: np.ndarray = place_means(features, port).detach().cpu().numpy()
    return found


def joined(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Batches of vectors as one [N, C]; None where one of them could not be told."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known and len(known) == len(parts) else None
