"""The interface of data: raw examples in the user's terms, read lazily, and one way in for new inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from headstart.example import Example, Target


class Data(ABC):
    """Examples of one task. Keyword-only arguments of `__init__` are the recipe's options.

    Constructing is cheap and reads nothing, so that a loaded run can make the part again where the training data is
    absent; `examples` and `target` read.

    Class attributes:
        modality: What `Example.input` is: "text", "image", "volume", ... (open set).
        target_kinds: Kinds of target that this data can give: ("class",), ("class", "number"), ...
        evaluation: Name of the evaluation that every run on such data goes through, and no recipe can leave out; "" = none.
    """

    modality: ClassVar[str]
    target_kinds: ClassVar[tuple[str, ...]] = ("class",)
    evaluation: ClassVar[str] = ""

    @property
    @abstractmethod
    def target(self) -> Target:
        """What is predicted, with the labels that really occur.

        Raises:
            DataError: The file is missing or unreadable, or the column is absent.
        """

    @abstractmethod
    def examples(self) -> Sequence[Example]:
        """All usable examples in the order of the source; the same list each time.

        Raises:
            DataError: The source is missing, unreadable or empty.
        """

    @abstractmethod
    def read(self, source: Any) -> Any:
        """One new input, read exactly as `examples` reads; the only way in at predict, evaluate and serve."""

    def open(self, path: Path) -> Sequence[Example]:
        """Examples of another file or folder of the same form; targets where it holds them, else None."""
        return [Example(id=str(path), input=self.read(path))]

    def augment(self, input: Any, rng: np.random.Generator) -> Any:
        """A training view of `input`, a pure function of `rng`; the default changes nothing."""
        return input

    @property
    def augments(self) -> bool:
        """Whether training views differ from one another; the default: where `augment` is overridden."""
        return type(self).augment is not Data.augment

    def excerpt(self, input: Any) -> str | None:
        """A short text that lets a person recognise the example in a report; None = nothing may be shown."""
        return None

    def plain(self) -> Mapping[str, Callable[[Example], Any]]:
        """Ways to answer without learning, by name, where the core knows none for the target; a run is compared with them."""
        return {}

    def plain_view(self, input: Any) -> str | np.ndarray | None:
        """What a method without a network looks at: a text, whose words it counts, or finite numbers [F].

        A run is then compared with a logistic or ridge regression on them. None = the core knows for texts and pictures, and
        has no such baseline for other modalities.
        """
        return None

    def pinned(self) -> Mapping[str, Any]:
        """Options that fix what was guessed while reading, written into `recipe.lock.yaml` so that no one guesses again."""
        return {}

    def facts(self) -> Mapping[str, Any]:
        """What was seen while reading (encoding, separator, dropped rows ...), plain JSON values, for `check` and the run.

        `notes` and `warnings` in it are lists of whole sentences that `headstart check` prints as they are.
        """
        return {}
