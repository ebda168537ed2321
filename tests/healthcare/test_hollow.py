"""Hollow networks: what is made for weights holds the weights alone, and nothing of what stood in memory before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from headstart.errors import WeightsError
from headstart_healthcare.backbones.monai_volumes import MonaiDenseNet121Volume, MonaiResNet10Volume

SMALL = {MonaiResNet10Volume: {"size": 16, "width": 0.125}, MonaiDenseNet121Volume: {"size": 32}}


@pytest.mark.parametrize("kind", SMALL, ids=lambda kind: kind.__name__)
def test_every_tensor_is_that_of_the_file(tmp_path: Path, kind: type) -> None:
    random = kind(**SMALL[kind]).network.state_dict()
    assert any("num_batches_tracked" in name for name in random)
    kept = {name: tensor.contiguous() for name, tensor in random.items() if "num_batches_tracked" not in name}
    save_file(kept, tmp_path / "body.safetensors")
    found = kind(weights=str(tmp_path / "body.safetensors"), **SMALL[kind]).network
    assert found.state_dict().keys() == random.keys()
    assert all(torch.equal(found.state_dict()[name], tensor) for name, tensor in random.items())
    assert all(weight.requires_grad and weight.device.type == "cpu" for weight in found.parameters())


def test_weights_that_leave_one_out_are_refused(tmp_path: Path) -> None:
    random = MonaiResNet10Volume(**SMALL[MonaiResNet10Volume]).network.state_dict()
    save_file({name: tensor.contiguous() for name, tensor in list(random.items())[1:]}, tmp_path / "body.safetensors")
    with pytest.raises(WeightsError, match="1 tensors are missing"):
        MonaiResNet10Volume(weights=str(tmp_path / "body.safetensors"), **SMALL[MonaiResNet10Volume])
