"""The layers in front of the vocabulary that a publisher's file may hold beside the encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from headstart_nlp.weights import WeightsFolder

NAMES: tuple[Mapping[str, str], ...] = (
    {  # BERT
        "dense.weight": "cls.predictions.transform.dense.weight",
        "dense.bias": "cls.predictions.transform.dense.bias",
        "norm.weight": "cls.predictions.transform.LayerNorm.weight",
        "norm.bias": "cls.predictions.transform.LayerNorm.bias",
        "bias": "cls.predictions.bias",
    },
    {  # RoBERTa, XLM-R, MPNet
        "dense.weight": "lm_head.dense.weight",
        "dense.bias": "lm_head.dense.bias",
        "norm.weight": "lm_head.layer_norm.weight",
        "norm.bias": "lm_head.layer_norm.bias",
        "bias": "lm_head.bias",
    },
    {  # DistilBERT
        "dense.weight": "vocab_transform.weight",
        "dense.bias": "vocab_transform.bias",
        "norm.weight": "vocab_layer_norm.weight",
        "norm.bias": "vocab_layer_norm.bias",
        "bias": "vocab_projector.bias",
    },
)
"""Name here -> name in the file: a dense layer, GELU, a normalisation, a bias for each token; the weights are tied."""


def saved_head(folder: WeightsFolder) -> dict[str, Tensor]:
    """Tensors of the head of masked language modelling in a folder's safetensors; empty where there is none."""
    held: dict[str, Path] = {}
    for path in folder.files if folder.has_safetensors else ():
        with safe_open(str(path), framework="pt") as file:
            held |= dict.fromkeys(file.keys(), path)
    names = next((names for names in NAMES if held.keys() >= set(names.values())), {})
    return {ours: _tensor(held[theirs], theirs) for ours, theirs in names.items()}


def _tensor(path: Path, name: str) -> Tensor:
    with safe_open(str(path), framework="pt") as file:
        tensor: Tensor = file.get_tensor(name)
    return tensor.float()
