"""Networks trained on chest X-rays by torchxrayvision (Cohen et al. 2022), from files on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from headstart.place import Place
from headstart_healthcare.backbones import local_weights
from headstart_healthcare.backbones.local_weights import find_local
from headstart_vision.backbones.classic import Classic
from headstart_vision.backbones.dense import DenseNet121
from headstart_vision.backbones.residual import ResNet50
from headstart_vision.expectation import Expectation
from headstart_vision.variants import Found, saved_expectation

FACTS = {
    "licence": "Apache-2.0 (the code); each training set has terms of its own",
    "trained_on": "chest X-rays of several hospitals (torchxrayvision, Cohen et al. 2022)",
}
THRESHOLDS = "op_threshs"  # by which the classifier's outputs are shifted; the classifier is cut off


class _Xrv(Classic):
    """One of torchxrayvision's networks on grey chest X-rays, without its classifier of 18 findings.

    Class attributes:
        side: Of the square that it was trained on, in pixels.

    Args:
        weights: A .safetensors or .pth file of its state dict, or `package:DISTRIBUTION/FILE`; "none" = random weights.
            Published at https://github.com/mlmed/torchxrayvision/releases.
        sha256: Of that file, or the first digits of it; "" = not checked.
        size: Side of the square that the network sees, in pixels; null = what it was trained on.
    """

    side: ClassVar[int]

    def __init__(self, *, weights: Place, sha256: str = "", size: int | None = None) -> None:
        find_local(weights, sha256)
        super().__init__(weights=weights, channels=1, size=size)

    def _find(self, place: str) -> Found:
        file, card = find_local(place, **FACTS)
        # torchxrayvision, utils.normalize: [0, 1] becomes [-1024, 1024]
        usual = Expectation(size=self.side, resize=self.side, mean=(0.5,) * 3, std=(1 / 2048,) * 3)
        return Found(file, (saved_expectation(file) if file else None) or usual, card)

    def _renamed(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        kept = {name: tensor for name, tensor in tensors.items() if name != THRESHOLDS}
        return super()._renamed({name.removeprefix("model."): tensor for name, tensor in kept.items()})

    @classmethod
    def saved_options(cls, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
        """The saved network, which the run's manifest vouches for."""
        return local_weights.saved_options(folder, options)


class XrvDenseNet121(_Xrv, DenseNet121):
    """torchxrayvision's DenseNet-121 on grey chest X-rays of 224 x 224, without its classifier of 18 findings.

    The published file is a pickled network, which would have to run code to be read and is refused. Convert it once, where
    you trust it and torchxrayvision is installed: `python -c "import sys, torch, safetensors.torch as s;
    s.save_file(torch.load(sys.argv[1], weights_only=False).state_dict(), sys.argv[2])" FILE.pt FILE.safetensors`.
    """

    side = 224


class XrvResNet50(_Xrv, ResNet50):
    """torchxrayvision's ResNet-50 on grey chest X-rays of 512 x 512, without its classifier of 18 findings."""

    side = 512
