"""Auxiliary classifiers without their last layer, as torchvision makes them; Szegedy et al. 2014 and 2015."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.googlenet import InceptionAux as GoogLeNetAux
from torchvision.models.inception import InceptionAux as InceptionV3Aux

FULL = 17  # cells a side of Inception v3's map at 299 pixels; its pooling needs as many
KERNEL = 5  # of the convolution behind that pooling


class OfGoogLeNet(GoogLeNetAux):  # type: ignore[misc]  # torchvision ships no types
    """Average to 4 x 4, 128 convolutions of 1 x 1, 1024 hidden units, dropout of 0.7: section 5 of the first paper."""

    width = 1024

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 1)
        self.fc2 = nn.Identity()


class OfInceptionV3(InceptionV3Aux):  # type: ignore[misc]  # torchvision ships no types
    """Average over 5 x 5 by 3, 128 convolutions of 1 x 1, 768 of 5 x 5, and the average of what is left."""

    width = 768

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 1)
        self.fc = nn.Identity()

    def forward(self, last: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, 768]; maps of pictures smaller than 299 are averaged to the 5 x 5 that the convolution needs."""
        if min(last.shape[2:]) >= FULL:
            output: Tensor = super().forward(last)
            return output
        few = self.conv0(F.adaptive_avg_pool2d(last, KERNEL))
        return self.conv1(few).flatten(1)  # type: ignore[no-any-return]  # torchvision ships no types
