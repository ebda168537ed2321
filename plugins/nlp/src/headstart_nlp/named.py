"""A linear head that begins with what its labels are called, before it has seen an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from headstart.builtin.heads_neural import Linear
from headstart.errors import UsageError
from headstart.example import Target
from headstart.head import Network
from headstart_nlp.encoder import Encoder

SCALE = 20.0  # logits per unit of cosine, as sentence-transformers trains its encoders
SLOT = "{}"


class Named(Linear):
    """`linear`, whose weights begin as the vectors of the labels' names: a zero-shot classifier that training improves.

    A text's first logits are 20 times its cosine with each name, up to its length and what all names share, which softmax does
    not see. It pays where there are few examples, and where the encoder was trained to compare texts, as the default was.

    Args:
        template: Sentence around a name; "{}" is where it stands.
        names: Label -> what it is called in words, for labels such as "0" or "neg"; the others stand for themselves.
        class_weights: "balanced" weighs each class by n / (classes x its count); "none" counts each example once.
        label_smoothing: Share of the target's probability that is spread over all labels, in [0, 1).
        loss: "focal" weighs the loss of each label by (1 - its probability)^gamma (Lin et al. 2017, equation 4).
        gamma: Exponent of the focal loss, >= 0; of no use to other losses.
        dropout: Share of features set to zero at random in training, in [0, 1).
    """

    def __init__(
        self,
        ports: Mapping[str, int],
        target: Target,
        *,
        template: str = "This text is about {}.",
        names: dict[str, str] | None = None,
        class_weights: Literal["none", "balanced"] = "none",
        label_smoothing: float = 0.0,
        loss: Literal["cross_entropy", "focal"] = "cross_entropy",
        gamma: float = 2.0,
        dropout: float = 0.0,
    ) -> None:
        more: dict[str, Any] = {"label_smoothing": label_smoothing, "loss": loss, "gamma": gamma, "dropout": dropout}
        super().__init__(ports, target, class_weights=class_weights, **more)
        if template.count(SLOT) != 1:
            raise UsageError(f"the head's option template is '{template}'; it holds {SLOT} once, where the label's name stands")
        unknown = sorted(set(names or {}) - set(self.index.labels))
        if unknown:
            raise UsageError(f"the head's option names has '{unknown[0]}'; the labels are {', '.join(self.index.labels)}")
        self._texts = [template.replace(SLOT, (names or {}).get(label, label)) for label in self.index.labels]

    @torch.no_grad()
    def join(self, backbone: Network) -> None:
        """Read the labels' names with the backbone, as it is before training.

        Raises:
            UsageError: The backbone does not read single texts.
        """
        if not isinstance(backbone, Encoder) or backbone.modality != "text":
            raise UsageError("the head nlp/named reads the labels' names with a backbone for single texts, such as nlp/encoder")
        was_training = backbone.training
        backbone.eval()
        vectors: Tensor = backbone(backbone.prepare(self._texts))["pooled"].float()  # [K, C]
        backbone.train(was_training)
        length = vectors.norm(dim=1).mean()
        directions = torch.nn.functional.normalize(vectors, dim=1)
        self.out.weight.copy_(SCALE / length * (directions - directions.mean(dim=0)))
