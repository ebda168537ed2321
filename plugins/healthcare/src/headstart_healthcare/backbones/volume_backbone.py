"""What all volume backbones share: preparing volumes, naming the maps within the network, and saving it."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from headstart.backbone import Backbone
from headstart.features import Features
from headstart.files import read_json, write_json
from headstart_healthcare.backbones.volume_expectation import VolumeExpectation
from headstart_vision.levels import Shape, find_maps, levels_of, meta_state, tapping
from headstart_vision.variants import EXPECTS_FILE

PROBE = 64  # voxels: a size at which the maps of all these networks still differ, so that names do not hang on the recipe's


class VolumeBackbone(Backbone):
    """A network that reads volumes and gives a vector and maps for each.

    "map.1", "map.2" ... are the last maps at each resolution, "map" the last of them.

    Attributes:
        expects: What the network reads.
    """

    modality: ClassVar[str] = "volume"
    expects: VolumeExpectation
    _wanted: frozenset[str] | None = None  # ports that are read; None = not told, so all are given
    _last_level = "map"  # the last map's other name

    @abstractmethod
    def _map(self, voxels: Tensor) -> Tensor:
        """Voxels [B, C, D, H, W] -> the last map [B, channels, d, h, w]."""

    def prepare(
        self, inputs: Sequence[Any], *, train: bool = False, rngs: Sequence[np.random.Generator] | None = None
    ) -> dict[str, Tensor]:
        """Volumes -> voxels [B, C, D, H, W]; augmentation is the data's."""
        return {"voxels": self.expects.apply(inputs)}

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """Voxels [B, C, D, H, W] -> the average over the last map, pooled [B, channels], and maps [B, channels, d, h, w]."""
        with tapping(self.network, self._taps()) as seen:
            last = self._map(batch["voxels"])
        return {"pooled": last.flatten(2).mean(dim=2), "map": last, self._last_level: last, **seen}

    def pictures(self, batch: Mapping[str, Tensor]) -> Sequence[np.ndarray]:
        """Three planes through the middle of each prepared volume, side by side."""
        return self.expects.undone(batch["voxels"])

    def want(self, ports: Sequence[str]) -> None:
        """Maps within the network are kept only where they are among these ports."""
        self._wanted = frozenset(ports)

    def reading(self) -> str:
        """Size, fit and normalisation of the volumes."""
        return json.dumps(self.expects.as_json())

    def save(self, folder: Path) -> None:
        """Write the network as safetensors and what it expects as JSON."""
        super().save(folder)
        write_json(folder / EXPECTS_FILE, self.expects.as_json())

    def _taps(self) -> dict[str, str]:
        """Wanted port within the network -> path of the module that gives it."""
        wanted = self.port_stages.keys() if self._wanted is None else self._wanted & self.port_stages.keys()
        ends = {stage.name: stage.modules[-1] for stage in self.stages if stage.modules}
        return {port: ends[self.port_stages[port]] for port in wanted}

    def _find_ports(self) -> None:
        """Name the maps, from a pass on the meta device, where nothing is computed; `stages` and `expects` are set."""
        channels = len(self.expects.mean)

        def run() -> Shape:
            voxels = torch.empty(2, channels, PROBE, PROBE, PROBE, device="meta")
            with torch.no_grad():
                return tuple(functional_call(self, meta_state(self), ({"voxels": voxels},))["map"].shape[1:])

        maps, last = find_maps(self.network, self.stages, run, lambda value: value)
        levels = levels_of(maps, last, self.stages)
        self.port_stages = {f"map.{at}": stage for at, stage in enumerate(levels, start=1)}
        self._last_level = f"map.{len(levels) + 1}"
        widths = {port: maps[stage][0] for port, stage in self.port_stages.items()}
        self.ports = {"pooled": last[0], "map": last[0], **widths, self._last_level: last[0]}


def saved_volume_expectation(file: Path) -> VolumeExpectation | None:
    """What `VolumeBackbone.save` wrote beside the weights."""
    beside = file.with_name(EXPECTS_FILE)
    return VolumeExpectation.of_json(read_json(beside)) if beside.is_file() else None
