"""What data is made of: an example in the user's own terms, and what is to be predicted of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Example:
    """One raw example.

    Attributes:
        id: Stable name; order, augmentation seeds, stores, predictions and quarantine hang on it.
        input: The raw input: a text, a path, an array. Never a tensor of the backbone's making.
        target: In the user's terms ("pneumonia", 3.7, ("a", "b")); None = unlabelled.
        group: Patient, author, article: examples of one group never stand in two splits.
        meta: Free facts. The core reads "split" (a given split: train, val or test) and "time" (sortable).
    """

    id: str
    input: Any
    target: Any = None
    group: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """What is predicted.

    Attributes:
        kind: An open set of strings: "class" (one label), "labels" (a set of labels), "number", ...
        labels: Names of the classes in their fixed, natural order; empty for numbers.
        positive: The label that counts as positive in a two-class task, where one was named.
    """

    kind: str
    labels: tuple[str, ...] = ()
    positive: str | None = None
