"""Heads that are trained by gradient: classes by a linear layer or a small network, numbers, and sets of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.builtin.labels import LabelIndex, as_labels, balanced_weights, class_predictions, label_set
from headstart.errors import DataError, UsageError
from headstart.example import Target
from headstart.features import Features
from headstart.head import Head, Prediction

# small enough that the first predictions are near uniform, not zero, so that the first step already reaches the backbone;
# 0.02 as BERT (Devlin et al. 2019) initialises its output layers
INITIAL_STD = 0.02


class _Layered(Head):
    """What these heads share: pooled features through dropout and hidden layers to a linear layer of `outputs`."""

    def __init__(self, ports: Mapping[str, int], target: Target, outputs: int, dropout: float) -> None:
        super().__init__(ports, target)
        self.dropout = nn.Dropout(_share("dropout", dropout))
        self.hidden: nn.Module = nn.Identity()
        self.out = _output_layer(self.ports["pooled"], outputs)

    def outputs(self, features: Features) -> Tensor:
        """Values of the last layer, [B, outputs], in float32 also under autocast."""
        pooled = features["pooled"].to(self.out.weight.dtype)  # [B, C]
        values: Tensor = self.out(self.hidden(self.dropout(pooled)))
        return values.float()


class Linear(_Layered):
    """One linear layer on the pooled features, trained by cross-entropy or by the focal loss.

    The weighted loss is the mean over examples of weight x loss, not divided by the sum of the weights: a batch of one
    class still feels its weight, and micro-batches add up to the batch.

    Args:
        class_weights: "balanced" weighs each class by n / (classes x its count) in the training examples; "none" counts
            each example once.
        label_smoothing: Share of the target's probability that is spread over all labels, in [0, 1).
        loss: "focal" weighs the loss of each label by (1 - its probability)^gamma, so that examples which are right already
            count little (Lin et al. 2017, equation 4); for rare classes among many easy examples.
        gamma: Exponent of the focal loss, >= 0; 0 = cross-entropy, 2 = what the paper finds best. Of no use to other losses.
        dropout: Share of features set to zero at random in training, in [0, 1).
    """

    kinds: ClassVar[tuple[str, ...]] = ("class",)
    needs: ClassVar[tuple[str, ...]] = ("pooled",)
    class_weight: Tensor

    def __init__(
        self,
        ports: Mapping[str, int],
        target: Target,
        *,
        class_weights: Literal["none", "balanced"] = "none",
        label_smoothing: float = 0.0,
        loss: Literal["cross_entropy", "focal"] = "cross_entropy",
        gamma: float = 2.0,
        dropout: float = 0.0,
    ) -> None:
        index = LabelIndex(target.labels)
        super().__init__(ports, target, len(index.labels), dropout)
        self.index = index
        self.loss_name, self.gamma = loss, _at_least_zero("gamma", gamma)
        self.class_weights = class_weights
        self.label_smoothing = _share("label_smoothing", label_smoothing)
        self.register_buffer("class_weight", torch.ones(len(target.labels)))

    def settle(self, targets: Sequence[Any]) -> None:
        """Weigh the classes by their counts, where asked for."""
        if self.class_weights == "balanced":
            self.class_weight.copy_(torch.from_numpy(balanced_weights(self.index.counts(targets))))

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """Cross-entropy or focal loss, the mean over the batch."""
        logits = self.outputs(features)
        truth = torch.tensor(self.index.positions(targets), device=logits.device)
        weight = self.class_weight.float()
        if self.loss_name == "focal":
            return {"focal": focal_loss(logits, truth, weight, self.gamma, self.label_smoothing).mean()}
        losses = F.cross_entropy(logits, truth, weight=weight, reduction="none", label_smoothing=self.label_smoothing)
        return {"cross_entropy": losses.mean()}

    @torch.no_grad()
    def predict(self, features: Features) -> list[Prediction]:
        """The most probable label, with the probabilities of all."""
        return class_predictions(self.index.labels, self.outputs(features).double().softmax(dim=1).cpu().numpy())

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """Accuracy first; see `headstart.metrics.classification_scores`."""
        from headstart.metrics import classification_scores

        return classification_scores(self.index.labels, as_labels(targets), predictions, weights, positive=self.target.positive)


class MLP(Linear):
    """A small fully connected network on the pooled features: GELU layers, then a linear one; trained by cross-entropy or the
    focal loss.

    Args:
        hidden: Width of each hidden layer, >= 1.
        layers: Number of hidden layers, >= 1.
        dropout: Share of features and of hidden values set to zero at random in training, in [0, 1).
        class_weights: "balanced" weighs each class by n / (classes x its count) in the training examples; "none" counts
            each example once.
        label_smoothing: Share of the target's probability that is spread over all labels, in [0, 1).
        loss: "focal" weighs the loss of each label by (1 - its probability)^gamma, so that examples which are right already
            count little (Lin et al. 2017, equation 4); for rare classes among many easy examples.
        gamma: Exponent of the focal loss, >= 0; 0 = cross-entropy, 2 = what the paper finds best. Of no use to other losses.
    """

    kinds: ClassVar[tuple[str, ...]] = ("class",)
    needs: ClassVar[tuple[str, ...]] = ("pooled",)

    def __init__(
        self,
        ports: Mapping[str, int],
        target: Target,
        *,
        hidden: int = 256,
        layers: int = 1,
        dropout: float = 0.1,
        class_weights: Literal["none", "balanced"] = "none",
        label_smoothing: float = 0.0,
        loss: Literal["cross_entropy", "focal"] = "cross_entropy",
        gamma: float = 2.0,
    ) -> None:
        losses: dict[str, Any] = {"label_smoothing": label_smoothing, "loss": loss, "gamma": gamma}
        super().__init__(ports, target, class_weights=class_weights, dropout=dropout, **losses)
        _at_least_one("hidden", hidden)
        _at_least_one("layers", layers)
        widths = [self.ports["pooled"], *[hidden] * layers]
        self.hidden = nn.Sequential(*[_hidden_layer(widths[i], widths[i + 1], dropout) for i in range(layers)])
        self.out = _output_layer(hidden, len(target.labels))


class Regression(_Layered):
    """One number per example by a linear layer; learnt on standardised targets, predicted in the user's units.

    Args:
        loss: "mse" = squared error; "huber" = squared up to one standard deviation of the targets, linear beyond it, for
            targets with outliers.
        dropout: Share of features set to zero at random in training, in [0, 1).
    """

    kinds: ClassVar[tuple[str, ...]] = ("number",)
    needs: ClassVar[tuple[str, ...]] = ("pooled",)
    mean: Tensor
    scale: Tensor

    def __init__(
        self, ports: Mapping[str, int], target: Target, *, loss: Literal["mse", "huber"] = "mse", dropout: float = 0.0
    ) -> None:
        super().__init__(ports, target, 1, dropout)
        self.loss_name = loss
        # float64: a target such as a time stamp (1.7e9 s) loses its last 100 s in float32
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    def settle(self, targets: Sequence[Any]) -> None:
        """Take mean and standard deviation of the training targets; they are saved with the weights."""
        numbers = torch.tensor(_numbers(targets), dtype=torch.float64)
        spread = numbers.std(correction=0)
        self.mean.copy_(numbers.mean())
        self.scale.copy_(spread if spread > 0 else torch.ones(()))  # equal targets: nothing to scale by

    def standardised(self, features: Features) -> Tensor:
        """Predictions in standard deviations from the mean of the training targets, [B]."""
        return self.outputs(features).squeeze(1)

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """Mean error over the batch, in standardised units."""
        numbers = torch.tensor(_numbers(targets), dtype=torch.float64, device=self.mean.device)
        wanted = ((numbers - self.mean) / self.scale).float()
        error = F.huber_loss if self.loss_name == "huber" else F.mse_loss
        return {self.loss_name: error(self.standardised(features), wanted)}

    @torch.no_grad()
    def predict(self, features: Features) -> list[Prediction]:
        """A number per example, in the user's units."""
        numbers = self.standardised(features).double() * self.scale + self.mean
        return [Prediction(number) for number in numbers.tolist()]

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """R2 first; see `headstart.metrics.regression_scores`."""
        from headstart.metrics import regression_scores

        return regression_scores(targets, predictions, weights)


class MultiLabel(_Layered):
    """Any number of labels per example: one logistic output per label, trained by binary cross-entropy or the
    focal loss.

    Args:
        threshold: A label is predicted where its probability is at least this, in (0, 1).
        label_weights: "balanced" weighs the examples that have a label by (those without it) / (those with it), for rare
            labels; "none" counts each once.
        loss: "focal" weighs the loss of each label of each example by (1 - probability of what is true)^gamma, so that those
            which are right already count little (Lin et al. 2017, equation 4).
        gamma: Exponent of the focal loss, >= 0; 0 = cross-entropy. Of no use to other losses.
        dropout: Share of features set to zero at random in training, in [0, 1).
    """

    kinds: ClassVar[tuple[str, ...]] = ("labels",)
    needs: ClassVar[tuple[str, ...]] = ("pooled",)
    positive_weight: Tensor

    def __init__(
        self,
        ports: Mapping[str, int],
        target: Target,
        *,
        threshold: float = 0.5,
        label_weights: Literal["none", "balanced"] = "none",
        loss: Literal["binary_cross_entropy", "focal"] = "binary_cross_entropy",
        gamma: float = 2.0,
        dropout: float = 0.0,
    ) -> None:
        index = LabelIndex(target.labels)
        super().__init__(ports, target, len(index.labels), dropout)
        if not 0 < threshold < 1:
            raise UsageError(f"the head's option threshold is {threshold}; it must lie between 0 and 1")
        self.index = index
        self.threshold = threshold
        self.loss_name, self.gamma = loss, _at_least_zero("gamma", gamma)
        self.label_weights = label_weights
        self.register_buffer("positive_weight", torch.ones(len(target.labels)))

    def settle(self, targets: Sequence[Any]) -> None:
        """Weigh the labels by their counts, where asked for; one that no example has, or all have, keeps the weight 1."""
        if self.label_weights == "balanced":
            count = self._matrix(targets).sum(dim=0)  # [labels]
            varies = (count > 0) & (count < len(targets))
            self.positive_weight.copy_(torch.where(varies, (len(targets) - count) / count.clamp(min=1), 1.0))

    def loss(self, features: Features, targets: Sequence[Any]) -> dict[str, Tensor]:
        """Binary cross-entropy or focal loss, the mean over examples and labels."""
        logits = self.outputs(features)
        truth = self._matrix(targets).to(logits.device)
        weight = self.positive_weight.float()
        losses = F.binary_cross_entropy_with_logits(logits, truth, pos_weight=weight, reduction="none")
        if self.loss_name == "focal":
            losses = losses * torch.where(truth > 0, -logits, logits).sigmoid() ** self.gamma
        return {self.loss_name: losses.mean()}

    @torch.no_grad()
    def predict(self, features: Features) -> list[Prediction]:
        """The labels above the threshold, in their fixed order, with the probabilities of all."""
        return [self._prediction(row) for row in self.outputs(features).double().sigmoid().tolist()]

    def score(
        self, predictions: Sequence[Prediction], targets: Sequence[Any], weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """Micro-averaged F1 first; see `headstart.metrics.multilabel_scores`."""
        from headstart.metrics import multilabel_scores

        return multilabel_scores(self.index.labels, targets, predictions, weights)

    def _matrix(self, targets: Sequence[Any]) -> Tensor:
        matrix = torch.zeros(len(targets), len(self.index.labels))
        for row, target in zip(matrix, targets, strict=True):
            row[self.index.positions(label_set(target))] = 1.0
        return matrix

    def _prediction(self, row: Sequence[float]) -> Prediction:
        probabilities = dict(zip(self.index.labels, row, strict=True))
        value = tuple(label for label, probability in probabilities.items() if probability >= self.threshold)
        return Prediction(value, probabilities)


def focal_loss(logits: Tensor, truth: Tensor, weight: Tensor, gamma: float, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy in which each label's part is weighed by (1 - its probability)^gamma, one value per example [B].

    Lin et al. 2017, equations 4 and 5, for several classes: `weight` is their alpha, one per class. With gamma 0 it is
    torch's weighted cross-entropy without reduction.

    Args:
        logits: [B, classes].
        truth: Position of the true class, [B].
        weight: Of each class, [classes].
        gamma: >= 0.
        smoothing: Share of the truth that is spread over all classes, in [0, 1).
    """
    logs = logits.log_softmax(dim=1)  # [B, classes]
    shares = F.one_hot(truth, logits.shape[1]) * (1 - smoothing) + smoothing / logits.shape[1]
    return -(shares * weight * (1 - logs.exp()).clamp(min=0) ** gamma * logs).sum(dim=1)


def _output_layer(width: int, outputs: int) -> nn.Linear:
    """The last layer of a head: small normal weights from torch's global seed, zero biases."""
    layer = nn.Linear(width, outputs)
    nn.init.normal_(layer.weight, std=INITIAL_STD)
    nn.init.zeros_(layer.bias)
    return layer


def _hidden_layer(width_in: int, width_out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width_in, width_out), nn.GELU(), nn.Dropout(dropout))


def _share(name: str, value: float) -> float:
    if not 0 <= value < 1:
        raise UsageError(f"the head's option {name} is {value}; it must be at least 0 and less than 1")
    return value


def _at_least_zero(name: str, value: float) -> float:
    if value < 0:
        raise UsageError(f"the head's option {name} is {value}; it must be at least 0")
    return value


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise UsageError(f"the head's option {name} is {value}; it must be at least 1")


def _numbers(targets: Sequence[Any]) -> list[float]:
    return [_number(target) for target in targets]


def _number(target: Any) -> float:
    try:
        number = float(target)
    except (TypeError, ValueError) as error:
        raise DataError(f"the target {target!r} is not a number") from error
    if not np.isfinite(number):
        raise DataError(f"the target {target!r} is not a finite number; drop the example or fill the value in")
    return number
