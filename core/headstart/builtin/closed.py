"""Closed heads: scikit-learn estimators on features of a frozen backbone, saved inside the weights without pickle."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from headstart.builtin.labels import LabelIndex, as_labels, class_predictions
from headstart.errors import DataError, WeightsError
from headstart.example import Target
from headstart.features import Features
from headstart.head import Head, Prediction

logger = logging.getLogger(__name__)

# skops knows scikit-learn's public estimators and refuses the rest; these are the private ones that our estimators hold.
# Named one by one: a whole package would let in functions that run code.
TRUSTED = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.model_selection._split.StratifiedKFold",
)


class ClosedHead(Head):
    """A head around one scikit-learn estimator, which lives as bytes (skops format) in a buffer among the weights.

    So it goes into safetensors and back by `load_state_dict` like every other weight. The bytes hold a time and differ from
    run to run; what they predict does not.
    """

    by_gradient: ClassVar[bool] = False
    grows: ClassVar[tuple[str, ...]] = ("estimator_bytes",)
    estimator_bytes: Tensor

    def __init__(self, ports: Mapping[str, int], target: Target) -> None:
        super().__init__(ports, target)
        for name in self.grows:
            self.register_buffer(name, torch.zeros(0, dtype=torch.uint8))
        self._loaded: tuple[Tensor, Any] | None = None

    @property
    def estimator(self) -> Any:
        """The learnt estimator, read from its bytes when it is first asked for.

        Raises:
            WeightsError: Nothing was learnt or loaded yet, or the bytes are damaged or hold a type that is not trusted.
        """
        if self._loaded is None or self._loaded[0] is not self.estimator_bytes:
            self._loaded = (self.estimator_bytes, read_estimator(to_bytes(self.estimator_bytes), type(self).__name__))
        return self._loaded[1]

    def keep(self, estimator: Any) -> None:
        """Put a learnt estimator into the buffer."""
        import skops.io

        self.estimator_bytes = to_buffer(skops.io.dumps(estimator)).to(self.estimator_bytes.device)
        self._loaded = (self.estimator_bytes, estimator)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Take buffers of any length; torch compares shapes, and an estimator's bytes have no fixed one."""
        for name in self.grows:
            saved = state_dict.get(prefix + name)
            if saved is not None:
                setattr(self, name, torch.empty(saved.shape, dtype=torch.uint8, device=getattr(self, name).device))
        super()._load_from_state_dict(state_dict, prefix, *args)


class ClosedClassifier(ClosedHead):
    """What logistic regression, support vectors and neighbours share: one label of several, from pooled features."""

    precision: ClassVar[torch.dtype] = torch.float64  # what solvers converge in

    def __init__(self, ports: Mapping[str, int], target: Target) -> None:
        super().__init__(ports, target)
        self.index = LabelIndex(target.labels)

    @abstractmethod
    def learnt(self, features: np.ndarray, positions: np.ndarray) -> Any:
        """An estimator fitted to features [N, C] and positions of labels [N]."""

    def fit(self, features: Features, targets: Sequence[Any]) -> None:
        """Learn from all training features at once.

        Raises:
            DataError: A label is unknown, or there is no example.
        """
        pooled = pooled_array(features, self.precision)
        if not len(pooled):
            raise DataError("there is no training example to learn from")
        self.keep(self.learnt(pooled, np.array(self.index.positions(targets))))

    def predict(self, features: Features) -> list[Prediction]:
        """The estimator's label for each example, with probabilities where the estimator has any."""
        pooled, labels = pooled_array(features, self.precision), self.index.labels
        if not hasattr(self.estimator, "predict_proba"):
            return [Prediction(labels[int(position)]) for position in self.estimator.predict(pooled)]
        probabilities = np.zeros((len(pooled), len(labels)))  # a label without a training example keeps 0
        probabilities[:, self.estimator.classes_] = self.estimator.predict_proba(pooled)
        return class_predictions(labels, probabilities)

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """Accuracy first; see `headstart.metrics.classification_scores`."""
        from headstart.metrics import classification_scores

        return classification_scores(self.index.labels, as_labels(targets), predictions, weights, positive=self.target.positive)


def pooled_array(features: Features, precision: torch.dtype = torch.float64) -> np.ndarray:
    """Pooled features on the CPU, [N, C]."""
    return features["pooled"].detach().to("cpu", precision).numpy()


def read_estimator(raw: bytes, name: str) -> Any:
    """The estimator in `raw`; nothing is built before every type in it was found trusted.

    Raises:
        WeightsError: There are no bytes, they are damaged, or they name a type outside scikit-learn's estimators.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    if not raw:
        raise WeightsError(f"the head {name} has not learnt anything yet; fit it, or load the weights of a run")
    try:
        estimator = skops.io.loads(raw, trusted=list(TRUSTED))
        if not hasattr(estimator, "predict"):
            raise TypeError(f"it holds a {type(estimator).__name__}, not an estimator")
        return estimator
    except UntrustedTypesFoundException as error:
        raise WeightsError(
            f"the saved head {name} holds types that are not trusted and was not loaded: {error}; "
            "take the run from where it was made, and do not use this copy"
        ) from error
    except (BadZipFile, KeyError, ValueError, TypeError, AttributeError, ImportError, EOFError) as error:
        raise WeightsError(
            f"the saved head {name} cannot be read ({type(error).__name__}: {error}); the file is damaged, or was written by "
            "a newer skops or scikit-learn"
        ) from error


def to_buffer(raw: bytes) -> Tensor:
    """Bytes as a uint8 tensor."""
    return torch.from_numpy(np.frombuffer(raw, dtype=np.uint8).copy())


def to_bytes(buffer: Tensor) -> bytes:
    """The bytes of a uint8 tensor."""
    return buffer.detach().cpu().numpy().tobytes()
