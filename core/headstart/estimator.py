"""A scikit-learn classifier around the engine: for arrays and lists of texts, pipelines, grid search and cross-validation."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from headstart.head import Prediction
from headstart.recipe import Part, Recipe, SplitPlan, TrainPlan
from headstart.run import Run

AUTO = {"text": "nlp/encoder", "vector": "vectors"}
"""The backbone that reads each kind of input, where none is named."""

LEAST_VALIDATION = 20  # examples; the accuracy of fewer is off by more than 0.1 (one standard error), and chooses by luck


class HeadstartClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Transfer learning as a scikit-learn estimator: texts go through a pretrained encoder, numeric rows are used as they are.

    `fit` makes an ordinary run (its folder is `run_.folder`) on the given examples, without a test part and baselines:
    judging is up to `score` and `cross_val_score`. Pickling holds the run's files as bytes, so that a pickle is whole
    wherever it is opened; the copy unpacks them into a temporary folder of its own.

    Args:
        backbone: A registered name; "auto" = "nlp/encoder" for texts, "vectors" (columns standardised) for numbers.
        head: A registered head for classes.
        strategy: A registered strategy.
        backbone_options: Options of the backbone, as in a recipe.
        head_options: Options of the head, as in a recipe.
        strategy_options: Options of the strategy, as in a recipe.
        train_options: Options of `train`, as in a recipe (batch_size, device, ...), without the seed.
        validation: Share of each class that is kept out of training to choose the best epoch, in [0, 1), rounded down.
            Where that is fewer than 20 examples in all, or the head learns in one go, every example trains.
        random_state: Seed of everything that is random.
        out: Folder that gets the run's folder; None = a temporary one that vanishes with the estimator.
        verbose: Whether progress is written to stderr.

    Attributes:
        classes_: The labels, sorted, in their own type.
        n_features_in_: Columns, for numeric input.
        run_: The finished run.
    """

    _remove: Any  # deletes the temporary folder; called when the estimator goes or is fitted anew

    def __init__(
        self,
        *,
        backbone: str = "auto",
        head: str = "linear",
        strategy: str = "probe",
        backbone_options: Mapping[str, Any] | None = None,
        head_options: Mapping[str, Any] | None = None,
        strategy_options: Mapping[str, Any] | None = None,
        train_options: Mapping[str, Any] | None = None,
        validation: float = 0.1,
        random_state: int | np.random.RandomState | None = 0,
        out: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        self.backbone = backbone
        self.head = head
        self.strategy = strategy
        self.backbone_options = backbone_options
        self.head_options = head_options
        self.strategy_options = strategy_options
        self.train_options = train_options
        self.validation = validation
        self.random_state = random_state
        self.out = out
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> HeadstartClassifier:  # noqa: N803 - scikit-learn's names
        """Train on texts (list, array or Series of strings) or numeric rows [N, C], with one label each.

        Raises:
            ValueError: Input or labels are not what a classifier can learn from.
            HeadstartError: Parts do not fit or cannot be made.
        """
        import torch

        from headstart.fit import fit

        inputs, labels = self._training_input(X, y)
        self.classes_, positions = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"the labels hold one class only ({self.classes_[0]!r}); a classifier needs at least two classes")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        data = self._data(inputs, positions, seed)
        with torch.random.fork_rng(devices=[]):  # a caller's own random numbers go on as if nothing had been trained
            run = fit(self._recipe(inputs, seed), self._new_folder(), data=data, report=False, quiet=not self.verbose)
        self.run_ = run
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803 - scikit-learn's names
        """The most probable label of each input, in the type of the training labels, [N]."""
        position = {label: number for number, label in enumerate(self._labels())}
        return self.classes_[[position[answer.value] for answer in self._answers(X)]]

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803 - scikit-learn's names
        """Probabilities [N, classes], columns in the order of `classes_`.

        Raises:
            AttributeError: The head gives no probabilities.
        """
        labels = self._labels()
        return np.array([_probabilities(answer, labels, self.head) for answer in self._answers(X)])

    def __sklearn_tags__(self) -> Any:
        """Texts are welcome too."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Parameters and results, the run as the bytes of its files."""
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_remove", None)
        if "run_" in state:
            folder = state["run_"].folder
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            state["run_"] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpack the run into a temporary folder."""
        super().__setstate__(state)
        if "run_" in state:
            folder = self._temporary_folder()
            for name, content in state["run_"].items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            self.run_ = Run(folder)

    def _training_input(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:  # noqa: N803 - scikit-learn's names
        texts = as_texts(X)
        if texts is None:
            inputs, labels = validate_data(self, X, y, dtype=np.float64)
        elif y is None:
            raise ValueError("HeadstartClassifier requires y to be passed, but the target y is None")
        else:
            inputs, labels = texts, column_or_1d(y, warn=True)
            check_consistent_length(inputs, labels)
        check_classification_targets(labels)
        return inputs, labels

    def _data(self, inputs: Any, positions: np.ndarray, seed: int) -> Any:
        from headstart.build import part_class
        from headstart.builtin.memory import MemoryTexts, MemoryVectors

        kind = MemoryTexts if isinstance(inputs, list) else MemoryVectors
        share = self.validation if part_class("head", self.head).by_gradient else 0.0
        is_held_out = held_out(inputs, positions, share, seed)
        labels = self._labels()
        splits = ["val" if held else "train" for held in is_held_out]
        return kind.of(inputs, [labels[position] for position in positions], labels, splits)

    def _recipe(self, inputs: Any, seed: int) -> Recipe:
        modality = "text" if isinstance(inputs, list) else "vector"
        backbone = AUTO[modality] if self.backbone == "auto" else self.backbone
        options = dict(self.backbone_options or {})
        if backbone == AUTO["vector"] and modality == "vector":
            options = {**standardisation(inputs), **options}
        return Recipe(
            data=Part(f"memory-{modality}s"),
            backbone=Part(backbone, options),
            head=Part(self.head, dict(self.head_options or {})),
            strategy=Part(self.strategy, dict(self.strategy_options or {})),
            name="estimator",
            split=SplitPlan(by="given", test=0, val=0, near=False),
            train=TrainPlan(seed=seed, **(self.train_options or {})),
            baselines="none",
        )

    def _answers(self, X: Any) -> list[Prediction]:  # noqa: N803 - scikit-learn's names
        check_is_fitted(self)
        texts = as_texts(X)
        learnt_texts = self.run_.recipe.data.use == "memory-texts"
        if learnt_texts != (texts is not None):
            wanted = "texts; give it a list, array or Series of strings" if learnt_texts else "numeric rows; give it an array"
            raise ValueError(f"this HeadstartClassifier was fitted to {wanted}")
        return self.run_.predict(validate_data(self, X, dtype=np.float64, reset=False) if texts is None else texts)

    def _labels(self) -> list[str]:
        """The classes as the run names them: as they print."""
        check_is_fitted(self, "classes_")
        return [str(label) for label in self.classes_]

    def _new_folder(self) -> Path:
        return self._temporary_folder() if self.out is None else Path(self.out)

    def _temporary_folder(self) -> Path:
        if "_remove" in self.__dict__:
            self._remove()  # of an earlier fit
        folder = Path(tempfile.mkdtemp(prefix="headstart-"))
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder


def as_texts(inputs: Any) -> list[str] | None:
    """A list, tuple, one-dimensional array or Series of strings as a list; None = something else."""
    values = inputs.tolist() if hasattr(inputs, "tolist") and getattr(inputs, "ndim", 1) == 1 else inputs
    is_text = isinstance(values, list | tuple) and len(values) > 0 and all(isinstance(value, str) for value in values)
    return [str(value) for value in values] if is_text else None


def standardisation(rows: np.ndarray) -> dict[str, Any]:
    """Options of the backbone "vectors" that bring each column to mean 0 and deviation 1; a constant one is only shifted."""
    spread = rows.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    return {"width": rows.shape[1], "center": tuple(rows.mean(axis=0).tolist()), "scale": tuple(scale.tolist())}


def held_out(inputs: Sequence[Any], positions: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which examples validate, [N]: `share` of each class, rounded down; none that occurs twice, as its copy may train.

    Raises:
        ValueError: The share is not in [0, 1).
    """
    from headstart.audit import content_key

    if not 0 <= share < 1:
        raise ValueError(f"validation is {share}; it must be at least 0 and less than 1")
    keys = [content_key(value) for value in inputs]
    copies = Counter(keys)
    is_single = np.array([copies[key] == 1 for key in keys])
    generator = np.random.default_rng(seed)
    chosen = np.zeros(len(positions), dtype=bool)
    for position in np.unique(positions):
        is_member = positions == position
        candidates = generator.permutation(np.flatnonzero(is_member & is_single))
        chosen[candidates[: int(share * is_member.sum())]] = True
    return chosen if chosen.sum() >= LEAST_VALIDATION else np.zeros_like(chosen)


def _probabilities(answer: Prediction, labels: Sequence[str], head: str) -> list[float]:
    if answer.probabilities is None:
        raise AttributeError(f"the head '{head}' gives no probabilities here; use predict, or another head such as 'logistic'")
    return [answer.probabilities[label] for label in labels]
