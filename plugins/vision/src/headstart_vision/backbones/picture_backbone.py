"""What all picture backbones share: preparing pictures, filling the network, and saving it with what it expects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from headstart.backbone import Backbone
from headstart.files import write_json
from headstart_vision.expectation import Expectation
from headstart_vision.levels import Shape, find_maps, levels_of, meta_state, tapping
from headstart_vision.stem import find_stem, is_grey, is_plain, refold
from headstart_vision.variants import EXPECTS_FILE, Found
from headstart_vision.weights import fill


class PictureBackbone(Backbone):
    """A network that reads pictures and gives a vector for each, and maps where it has them.

    "map.1", "map.2" ... are the last maps at each resolution, "map" the last of them.

    Class attributes:
        taps: Further port -> the stage whose map it is.

    Attributes:
        colours: What the weights expect of colour pictures, at the size of this network.
        expects: The same for the channels that this network reads.
    """

    modality = "image"
    colours: Expectation
    expects: Expectation
    taps: ClassVar[Mapping[str, str]] = MappingProxyType({})
    _wanted: frozenset[str] | None = None  # ports that are read; None = not told, so all are given
    _last_level = "map"  # the last map's other name: "map.4"

    def prepare(
        self, inputs: Sequence[Any], *, train: bool = False, rngs: Sequence[np.random.Generator] | None = None
    ) -> dict[str, Tensor]:
        """Pictures -> pixels [B, channels, size, size], as the weights expect them; augmentation is the data's."""
        return {"pixels": self.expects.apply(inputs)}

    def pictures(self, batch: Mapping[str, Tensor]) -> Sequence[np.ndarray]:
        """The prepared pictures without their normalisation; of more than three channels the first three."""
        return self.expects.undone(batch["pixels"])

    def want(self, ports: Sequence[str]) -> None:
        """Maps within the network are kept only where they are among these ports."""
        self._wanted = frozenset(ports)

    def _as_map(self, value: Any) -> Tensor | None:
        """What a stage gives as a map [B, C, h, w]; None = it is none."""
        return value if value.ndim == 4 else None

    def _tapping(self) -> AbstractContextManager[dict[str, Any]]:
        """What the wanted ports within the network give while it runs, by port."""
        wanted = self.port_stages.keys() if self._wanted is None else self._wanted & self.port_stages.keys()
        ends = {stage.name: stage.modules[-1] for stage in self.stages if stage.modules}
        return tapping(self.network, {port: ends[self.port_stages[port]] for port in wanted})

    def _maps(self, last: Tensor, seen: Mapping[str, Any]) -> dict[str, Tensor]:
        """All ports that are maps, from the last one and those that were tapped."""
        within = {port: found for port, value in seen.items() if (found := self._as_map(value)) is not None}
        return {"map": last, self._last_level: last, **within}

    def _find_maps(self, size: int, channels: int) -> None:
        """Name the maps within the network, from a pass at this size on the meta device, where nothing is computed."""

        def run() -> Shape:
            pixels = torch.empty(2, channels, size, size, device="meta")
            with torch.no_grad():
                return tuple(functional_call(self, meta_state(self), ({"pixels": pixels},))["map"].shape[1:])

        self._name_maps(*find_maps(self.network, self.stages, run, self._as_map))

    def _name_maps(self, maps: Mapping[str, Shape], last: Shape) -> None:
        """Add the ports within the network, once stages and last ports are known."""
        levels = levels_of(maps, last, self.stages)
        self.port_stages = {**{f"map.{at}": stage for at, stage in enumerate(levels, start=1)}, **self.taps}
        self._last_level = f"map.{len(levels) + 1}"
        widths = {port: maps[stage][0] for port, stage in self.port_stages.items()}
        self.ports = {**self.ports, **widths, self._last_level: last[0]}

    def reading(self) -> str:
        """Size, interpolation and normalisation of the pictures."""
        return json.dumps(self.expects.as_json())

    def untrained(self) -> dict[str, Any]:
        """The same network at the same size, as torchvision or timm initialises it."""
        return {**self.made_with, "weights": "none", "size": self.colours.size}

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
