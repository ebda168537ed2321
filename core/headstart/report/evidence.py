"""Evidence: what the figures read, taken once from the files of a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from headstart.example import Example
from headstart.intervals import group_numbers
from headstart.predictions import SavedOutcome
from headstart.run_files import RunFiles
from headstart.scores import probability_matrix


@dataclass(frozen=True)
class Evidence:
    """A run folder with its test predictions as arrays. N examples, K labels."""

    files: RunFiles

    @property
    def kind(self) -> str:
        """Kind of target, "" where metrics.json does not say."""
        return str(self.files.metrics.get("target", {}).get("kind") or "")

    @cached_property
    def labels(self) -> list[str]:
        """Labels in their order, and after them those that only occur in the truth of the test."""
        named = self.files.metrics.get("target", {}).get("labels") or []
        truths = self.outcome.targets if self.outcome is not None and self.kind == "class" else []
        return list(dict.fromkeys([*named, *truths]))

    @property
    def positive(self) -> str:
        """The label of interest of a two-class task; the last one where none was named."""
        return str(self.files.metrics.get("target", {}).get("positive") or self.labels[-1])

    @property
    def scores(self) -> dict[str, dict[str, Any]]:
        """Test scores with their intervals."""
        return self.files.metrics.get("test") or {}

    @property
    def main_score(self) -> str:
        """The score that selected the model, or the first one; "" where there are none."""
        selected = str(self.files.metrics.get("selected_by") or "")
        return selected if selected in self.scores else next(iter(self.scores), "")

    @cached_property
    def outcome(self) -> SavedOutcome | None:
        """Labelled test examples with the run's predictions."""
        found = self.files.outcome()
        if found is None:
            return None
        kept = [i for i, example in enumerate(found.examples) if example.target is not None]
        examples, predictions = [found.examples[i] for i in kept], [found.predictions[i] for i in kept]
        return SavedOutcome(found.model, found.split, found.fold, examples, predictions) if kept else None

    @property
    def examples(self) -> Sequence[Example]:
        """Labelled test examples; `input` is the saved excerpt."""
        return self.outcome.examples if self.outcome is not None else ()

    @property
    def is_clustering(self) -> bool:
        """Whether predictions tell of clusters, as those of the head `kmeans` do."""
        return self.outcome is not None and all("cluster" in p.details for p in self.outcome.predictions)

    @property
    def are_labels_predicted(self) -> bool:
        """Whether predictions are decisions for one of the labels; a cluster's name is none."""
        if self.kind != "class" or self.outcome is None or self.is_clustering:
            return False
        known = set(self.labels)
        return all(prediction.value in known for prediction in self.outcome.predictions)

    @cached_property
    def truth(self) -> np.ndarray:
        """Index of the true label [N]."""
        index = {label: i for i, label in enumerate(self.labels)}
        return np.array([index[target] for target in self.outcome.targets] if self.outcome else [], dtype=int)

    @cached_property
    def said(self) -> np.ndarray:
        """Index of the predicted label [N]."""
        index = {label: i for i, label in enumerate(self.labels)}
        return np.array([index[p.value] for p in self.outcome.predictions] if self.outcome else [], dtype=int)

    @cached_property
    def probabilities(self) -> np.ndarray | None:
        """Probabilities [N, K]; None where the head gives none."""
        return probability_matrix(self.outcome.predictions, self.labels) if self.outcome else None

    @cached_property
    def groups(self) -> np.ndarray | None:
        """Number of each test example's group [N]; None where no two share one."""
        return group_numbers(self.outcome.examples) if self.outcome else None
