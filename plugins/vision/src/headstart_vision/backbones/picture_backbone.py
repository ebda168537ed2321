"""What all picture backbones share: preparing pictures, filling the network, and saving it with what it expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from headstart.backbone import Backbone
from headstart.files import write_json
from headstart_vision.expectation import Expectation
from headstart_vision.stem import find_stem, is_grey, is_plain, refold
from headstart_vision.variants import EXPECTS_FILE, Found
from headstart_vision.weights import fill


class PictureBackbone(Backbone):
    """A network that reads pictures and gives a vector for each.

    Attributes:
        colours: What the weights expect of colour pictures, at the size of this network.
        expects: The same for the channels that this network reads.
    """

    modality = "image"
    colours: Expectation
    expects: Expectation

    def prepare(
        self, inputs: Sequence[Any], *, train: bool = False, rngs: Sequence[np.random.Generator] | None = None
    ) -> dict[str, Tensor]:
        """Pictures -> pixels [B, channels, size, size], as the weights expect them; augmentation is the data's."""
        return {"pixels": self.expects.apply(inputs)}

    def save(self, folder: Path) -> None:
        """Write the network as safetensors and what it expects as JSON."""
        super().save(folder)
        write_json(folder / EXPECTS_FILE, self.colours.as_json())

    def _settle(
        self, found: Found, tensors: Mapping[str, Tensor] | None, colours: Expectation, channels: int, ignored: Sequence[str]
    ) -> None:
        """Fill the network, fold its stem to the channels, and say what it expects; tensors=None leaves random weights."""
        if tensors is None:
            refold(self.network, channels, colours)
        else:
            self._fill(tensors, colours, channels, found.card.source, ignored)
        self.colours, self.expects = colours, colours.with_channels(channels)
        self.card = replace(found.card, expects=str(self.expects))

    def _fill(
        self, tensors: Mapping[str, Tensor], colours: Expectation, channels: int, source: str, ignored: Sequence[str]
    ) -> None:
        """Weights for colours are folded after filling; those that have other channels already are filled after folding."""
        stem = find_stem(self.network)[0] if channels != 3 else ""
        plain = is_plain(tensors, stem, channels)
        is_folded = plain or is_grey(tensors, stem)
        if is_folded:
            refold(self.network, channels, colours, shape_only=plain)
        fill(self.network, tensors, source, ignored=ignored)
        if not is_folded:
            refold(self.network, channels, colours)
