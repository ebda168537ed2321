"""The interface of a backbone: a pretrained network with ordered stages, named feature ports and its own preprocessing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from headstart.features import Features
from headstart.stages import Stage


@dataclass(frozen=True)
class WeightsCard:
    """Where weights come from and what they expect.

    Attributes:
        source: A name that finds them again: "package:DIST/FOLDER", "bert-base-uncased@<revision>", a folder, "none".
        licence: SPDX name or the words of the source; "unknown" where it says nothing.
        sha256: Of the file of weights; "" where there is none (random weights).
        trained_on: What the weights saw, for the reader of a report.
        expects: Expected input in words: "lower-cased English, up to 512 word pieces".
        megabytes: Size of the file of weights.
    """

    source: str
    licence: str = "unknown"
    sha256: str = ""
    trained_on: str = ""
    expects: str = ""
    megabytes: float = 0.0


class Backbone(nn.Module, ABC):
    """A pretrained network. Keyword-only arguments of `__init__` are the recipe's options.

    Class attributes:
        modality: What it reads: "text", "image", ...
        port_names: Ports that it can give, known without loading weights.

    Attributes:
        network: The wrapped module; stage paths are relative to it and it holds every parameter.
        ports: Port -> channels, for the loaded network.
        stages: The ordered stages of `network`.
        card: Source, licence and hash of the weights.
        made_with: The options that a recipe made it with; set once, by the core.
        port_stages: Port -> the stage behind which it is read; absent = behind the last.
    """

    modality: ClassVar[str]
    port_names: ClassVar[tuple[str, ...]]
    network: nn.Module
    ports: Mapping[str, int]
    stages: tuple[Stage, ...]
    card: WeightsCard
    made_with: Mapping[str, Any] = MappingProxyType({})
    port_stages: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def prepare(
        self, inputs: Sequence[Any], *, train: bool = False, rngs: Sequence[np.random.Generator] | None = None
    ) -> dict[str, Tensor]:
        """Raw inputs -> one batch of CPU tensors; the same for the same inputs and `rngs`."""

    @abstractmethod
    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """One prepared batch -> port -> tensor, batch first: pooled [B, C], tokens [B, L, C], mask [B, L]."""

    def sizes(self, inputs: Sequence[Any]) -> Sequence[int] | None:
        """Cost of each input (tokens), to sort batches by; None = all inputs cost the same."""
        return None

    def lost_tokens(self, inputs: Sequence[Any]) -> Sequence[int] | None:
        """How much of each input is cut away because it is too long; None = nothing ever is, or it cannot be told."""
        return None

    def reading(self) -> str:
        """What else decides the features but options, code and weights: a vocabulary, a file of settings; keys disk stores."""
        return ""

    def pictures(self, batch: Mapping[str, Tensor]) -> Sequence[np.ndarray] | None:
        """What a person would see of each prepared example, uint8 [H, W] or [H, W, 3]; None = there is nothing to see."""
        return None

    def want(self, ports: Sequence[str]) -> None:
        """Hear which ports will be read, so that `forward` need not make others; the default makes all of them."""

    def auxiliary(self, port: str) -> tuple[nn.Module, int] | None:
        """What the network's paper puts between a port and the last layer of its auxiliary classifier, and its width.

        A new module each time, [B, C, h, w] -> [B, width]; None = the paper has none there.
        """
        return None

    def untrained(self) -> dict[str, Any] | None:
        """Options that build the same network with the random weights that training from scratch begins with.

        None = no option does: each module is reset by its own `reset_parameters`.
        """
        return None

    def save(self, folder: Path) -> None:
        """Write what `saved_options` needs to build this network again in `folder`; weights as safetensors, no pickle."""
        from safetensors.torch import save_model

        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.network, str(folder / "model.safetensors"))

    @classmethod
    def saved_options(cls, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options that build the network saved in `folder`, given the recipe's `options`."""
        return {**options, "weights": str(folder)}
