"""Clusters as a head: groups of similar features, named by the labels that are most frequent in them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from headstart.builtin.closed import ClosedHead, pooled_array, to_buffer, to_bytes
from headstart.builtin.labels import LabelIndex, as_labels
from headstart.errors import DataError, UsageError
from headstart.example import Target
from headstart.features import Features
from headstart.head import Prediction

MOST_CLUSTERS = 10  # tried where the number is chosen
SILHOUETTE_SAMPLE = 2000  # its cost grows with the square of the examples


class KMeans(ClosedHead):
    """K-means on the pooled features of a frozen backbone; labels name clusters and judge them, they do not shape them.

    A cluster is named by the label that most of its training examples have, and its probabilities are the shares of the
    labels among them. Without labels (target kind "none") it is named "cluster 0", "cluster 1", ...

    Args:
        clusters: Number of clusters, >= 2; None = one per label, or, without labels, the number from 2 to 10 with the
            best silhouette (Rousseeuw 1987).
        restarts: Random starts, of which the tightest clustering is kept, >= 1.
        standardise: Bring each feature to mean 0 and deviation 1 over the training examples first.
        seed: Of the random starts.
    """

    kinds: ClassVar[tuple[str, ...]] = ("class", "none")
    needs: ClassVar[tuple[str, ...]] = ("pooled",)
    by_gradient: ClassVar[bool] = False
    grows: ClassVar[tuple[str, ...]] = ("estimator_bytes", "report_bytes")
    report_bytes: Tensor

    def __init__(
        self,
        ports: Mapping[str, int],
        target: Target,
        *,
        clusters: int | None = None,
        restarts: int = 10,
        standardise: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(ports, target)
        if clusters is not None and clusters < 2:
            raise UsageError(f"the head's option clusters is {clusters}; it must be at least 2, or null to choose it")
        if restarts < 1:
            raise UsageError(f"the head's option restarts is {restarts}; it must be at least 1")
        self.index = LabelIndex(target.labels) if target.labels else None
        self.clusters, self.restarts, self.standardise, self.seed = clusters, restarts, standardise, seed
        self._read: tuple[Tensor, dict[str, Any]] | None = None

    def fit(self, features: Features, targets: Sequence[Any]) -> None:
        """Cluster the training features, then hold the labels against the clusters.

        Raises:
            DataError: There are fewer different examples than clusters, or a label is unknown.
        """
        pooled = pooled_array(features)
        positions = self.index.positions(targets) if self.index else None
        estimator = self._clustering(pooled)
        self.keep(estimator)
        self.report_bytes = to_buffer(json.dumps(self._report(estimator, pooled, positions)).encode()).to(
            self.report_bytes.device
        )

    def facts(self) -> dict[str, Any]:
        """The cluster report."""
        return self.cluster_report()

    def cluster_report(self) -> dict[str, Any]:
        """What the clusters of the training examples are like.

        Returns:
            clusters, sizes [clusters], silhouette in [-1, 1] and, with labels, nmi, ari and purity against them, names
            [clusters] and counts [clusters][labels].
        """
        if self._read is None or self._read[0] is not self.report_bytes:
            _ = self.estimator  # says what is wrong where nothing was learnt
            self._read = (self.report_bytes, json.loads(to_bytes(self.report_bytes)))
        return self._read[1]

    def predict(self, features: Features) -> list[Prediction]:
        """The nearest cluster by its name, and the shares of labels in it; details: its number, the distance to its centre."""
        distances = self.estimator.transform(pooled_array(features))  # [N, clusters]
        names, shares = self.cluster_report()["names"], self._shares()
        nearest = distances.argmin(axis=1).tolist()
        details = [
            {"cluster": cluster, "distance": float(row[cluster])} for cluster, row in zip(nearest, distances, strict=True)
        ]
        return [Prediction(names[at["cluster"]], shares[at["cluster"]] if shares else None, at) for at in details]

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """Normalised mutual information and adjusted Rand index of clusters and labels, then the scores of their names.

        Without labels the only score is the mean distance to the centre, negated. `weights` are counts.
        """
        from headstart.metrics import classification_scores

        rows = np.arange(len(targets)) if weights is None else np.repeat(np.arange(len(targets)), np.rint(weights).astype(int))
        if not len(rows):
            return {}
        if self.index is None:
            distances = np.array([prediction.details["distance"] for prediction in predictions])
            return {"negative_distance": -float(distances[rows].mean())}
        names = as_labels(targets)
        clusters = np.array([prediction.details["cluster"] for prediction in predictions])
        positive = self.target.positive
        return {
            **agreement(np.array(names)[rows], clusters[rows]),
            **classification_scores(self.index.labels, names, predictions, weights, positive=positive),
        }

    def _clustering(self, pooled: np.ndarray) -> Any:
        count = self.clusters or (max(2, len(self.index.labels)) if self.index else None)
        if count is None:
            return self._best_clustering(pooled)
        different = len(np.unique(pooled, axis=0))
        if different < count:
            raise DataError(f"{count} clusters cannot be made of {different} different training examples; set clusters lower")
        return self._fitted(pooled, count)

    def _best_clustering(self, pooled: np.ndarray) -> Any:
        most = min(MOST_CLUSTERS, len(np.unique(pooled, axis=0)) - 1)
        if most < 2:
            raise DataError("choosing the number of clusters takes at least 3 different training examples; set clusters")
        candidates = [self._fitted(pooled, count) for count in range(2, most + 1)]
        worst = -1.0  # of the silhouette's range; for a clustering that has none
        return max(candidates, key=lambda candidate: silhouette(candidate, pooled) or worst)

    def _fitted(self, pooled: np.ndarray, count: int) -> Any:
        from sklearn.cluster import KMeans as Clustering
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import StandardScaler

        scaler = [("scaler", StandardScaler())] if self.standardise else []
        clustering = Clustering(count, n_init=self.restarts, random_state=self.seed)
        return Pipeline([*scaler, ("clustering", clustering)]).fit(pooled)

    def _report(self, estimator: Any, pooled: np.ndarray, positions: Sequence[int] | None) -> dict[str, Any]:
        clusters = estimator.predict(pooled)
        count = estimator[-1].n_clusters
        report: dict[str, Any] = {
            "clusters": count,
            "sizes": np.bincount(clusters, minlength=count).tolist(),
            "silhouette": silhouette(estimator, pooled),
            "names": [f"cluster {cluster}" for cluster in range(count)],
        }
        if self.index is None or positions is None:
            return report
        counts = np.zeros((count, len(self.index.labels)), dtype=int)
        np.add.at(counts, (clusters, positions), 1)
        report["names"] = [self.index.labels[int(row.argmax())] for row in counts]
        purity = counts.max(axis=1).sum() / len(pooled)
        return {**report, **agreement(positions, clusters), "purity": float(purity), "counts": counts.tolist()}

    def _shares(self) -> list[dict[str, float]]:
        """Label -> share in each cluster; a cluster left without a training example has the shares of all examples."""
        counts = np.array(self.cluster_report().get("counts", []), dtype=float)  # [clusters, labels]
        filled = [row if row.any() else counts.sum(axis=0) for row in counts]
        return [dict(zip(self.target.labels, (row / row.sum()).tolist(), strict=True)) for row in filled]


def agreement(labels: Any, clusters: Any) -> dict[str, float]:
    """How well clusters follow labels: nmi in [0, 1] and ari, 0 by chance and 1 for equal divisions (scikit-learn)."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    return {
        "nmi": float(normalized_mutual_info_score(labels, clusters)),
        "ari": float(adjusted_rand_score(labels, clusters)),
    }


def silhouette(estimator: Any, pooled: np.ndarray) -> float | None:
    """Mean silhouette of the clustering in the space where it was made; None where it is undefined."""
    from sklearn.metrics import silhouette_score

    clusters = estimator.predict(pooled)
    if not 2 <= len(np.unique(clusters)) < len(pooled):
        return None
    space = estimator[:-1].transform(pooled) if len(estimator) > 1 else pooled
    size = SILHOUETTE_SAMPLE if len(pooled) > SILHOUETTE_SAMPLE else None
    return float(silhouette_score(space, clusters, sample_size=size, random_state=0))
