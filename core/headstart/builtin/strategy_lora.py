"""LoRA: small factors beside frozen weights train in their place, and are added to them when the model is saved."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from headstart.builtin.strategies import check_options, trainable_stages
from headstart.errors import MissingError, UsageError
from headstart.model import HEAD, Model
from headstart.phases import Group, Phase
from headstart.strategy import Strategy

AUTO = "auto"
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
# Their forward reads the weights of the layers inside without calling those: an adapter there would do nothing.
SEALED = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


class Lora(Strategy):
    """The head and low-rank factors beside frozen weights: W x + alpha / rank B A x, with B = 0 at the start.

    Hu et al. 2022. The backbone's own weights never move, and what trains is about 1 % of them; but the factors lie as
    deep as `stages` says, so the backward pass does, too. When the model is saved the factors are added to the weights:
    it loads without peft, and computes no more than before. Needs the package peft.

    Args:
        rank: Of the factors, >= 1.
        alpha: The factors' product counts alpha / rank times, > 0.
        dropout: Share of a factor's input that is set to zero in training, in [0, 1).
        targets: Layers that get factors, by globs over their paths in the network ("*.query", "layer4.*"); "auto" = all
            linear layers, or in a network that has none the convolutions that see all channels.
        stages: Stages with factors, counted from the output, >= 1; what lies below is replayed. None = all.
        epochs: Largest number of passes over the training examples, >= 1.
        lr: Peak learning rate of the factors, > 0; Hu et al. use 2e-4 to 5e-4.
        head_lr: Peak learning rate of the head, > 0.
        patience: Epochs without a better validation score before training ends; None = run all epochs.
    """

    def __init__(
        self,
        *,
        rank: int = 8,
        alpha: float = 16.0,
        dropout: float = 0.0,
        targets: tuple[str, ...] = ("auto",),
        stages: int | None = None,
        epochs: int = 5,
        lr: float = 5e-4,
        head_lr: float = 1e-3,
        patience: int | None = None,
    ) -> None:
        check_options(rank=rank, alpha=alpha, dropout=dropout, stages=stages, epochs=epochs, lr=lr, head_lr=head_lr)
        check_options(patience=patience)
        if alpha == 0:
            raise UsageError("the strategy's option alpha is 0; it must be greater than 0, or the factors do nothing")
        self._rank, self._alpha, self._dropout, self._targets, self._stages = rank, alpha, dropout, tuple(targets), stages
        self._phase = ("lora", epochs, lr, head_lr, patience)

    def prepare(self, model: Model) -> None:
        """Put the factors beside the chosen layers, in place: every layer keeps its path.

        Raises:
            MissingError: peft is not installed. UsageError: No layer is chosen, or one that cannot have factors.
        """
        config_class, inject = _peft()
        paths = self._chosen(model)
        config = config_class(
            r=self._rank,
            lora_alpha=self._alpha,
            lora_dropout=self._dropout,
            target_modules="|".join(map(re.escape, paths)),  # a list would also match the ends of other paths
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="fan_in_fan_out")  # peft sees GPT-2's layers, and says so
            inject(config, model.backbone.network)
        model.find_owners()

    def phases(self, model: Model) -> Sequence[Phase]:
        """One phase for the head and the factors."""
        name, epochs, lr, head_lr, patience = self._phase
        groups = (Group((HEAD,), head_lr, 0.01), Group(("backbone.*.lora_*",), lr))
        return (Phase(name, epochs, groups, "cosine", patience=patience),)

    def finish(self, model: Model) -> None:
        """Add the factors to the weights and leave the plain network."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        network = model.backbone.network
        for path, layer in list(network.named_modules()):
            if isinstance(layer, BaseTunerLayer):
                layer.merge(safe_merge=True)
                network.set_submodule(path, layer.get_base_layer())
        vars(network).pop("peft_config", None)
        model.find_owners()

    def _chosen(self, model: Model) -> list[str]:
        allowed = [path for path, _ in _open_layers(model.backbone.network) if self._is_in_reach(model, path)]
        if self._targets == (AUTO,):
            network = model.backbone.network
            linear = [path for path in allowed if not isinstance(network.get_submodule(path), CONVOLUTIONS)]
            paths = linear or allowed
        else:
            paths = [path for path in allowed if any(fnmatchcase(path, pattern) for pattern in self._targets)]
        unmatched = [p for p in self._targets if p != AUTO and not any(fnmatchcase(path, p) for path in allowed)]
        if not paths or unmatched:
            what = f"targets {', '.join(map(repr, unmatched or self._targets))} name no layer that can have factors"
            raise UsageError(f"strategy 'lora': {what}; such layers are: {', '.join(allowed[:8]) or 'none in this backbone'}")
        return paths

    def _is_in_reach(self, model: Model, path: str) -> bool:
        return model.owner[f"backbone.{path}.weight"] in trainable_stages(model)[: self._stages]


def _open_layers(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Paths of linear layers and of convolutions that see all channels, where the network calls them as modules."""
    sealed = tuple(f"{path}." for path, module in network.named_modules() if isinstance(module, SEALED))
    return [
        (path, module)
        for path, module in network.named_modules()
        if path and not path.startswith(sealed or ("\0",)) and _takes_factors(module)
    ]


def _takes_factors(module: nn.Module) -> bool:
    """Of a grouped convolution peft cannot add the factors to the weights; a depthwise one is small anyway."""
    if isinstance(module, CONVOLUTIONS):
        return module.groups == 1
    is_transposed_linear = type(module).__name__ == "Conv1D" and isinstance(getattr(module, "weight", None), torch.Tensor)
    return isinstance(module, nn.Linear) or is_transposed_linear  # transformers' Conv1D, of GPT-2, is a linear layer


def _peft() -> tuple[Any, Any]:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingError("strategy 'lora' needs the package peft: pip install 'headstart[lora]'") from error
    return LoraConfig, inject_adapter_in_model
