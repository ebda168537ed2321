"""The quick copy of a frozen backbone: what is folded and what must not be, and that nothing of the original changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from headstart.backbone import Backbone, WeightsCard
from headstart.compiling import can_compile, compile_stages, plain_stages, repays
from headstart.device import Compute
from headstart.features import Features
from headstart.optimise import Optimised, _now, optimised
from headstart.stages import Stage

CPU = Compute(torch.device("cpu"))


class Pictures(Backbone):
    """Any network of pictures, whose children are its stages."""

    modality = "image"
    port_names = ("map",)

    def __init__(self, network: nn.Module, stages: Sequence[Stage] = ()) -> None:
        super().__init__()
        self.network = network
        self.stages = tuple(stages) or tuple(Stage(name, (name,)) for name, _ in network.named_children())
        self.ports = {"map": 4}
        self.card = WeightsCard(source="none")

    def prepare(self, inputs: Sequence[Any], *, train: bool = False, rngs: Any = None) -> dict[str, Tensor]:
        """Tensors [3, S, S] -> pixels [B, 3, S, S]."""
        return {"pixels": torch.stack(list(inputs))}

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """Pixels -> map."""
        return {"map": self.network(batch["pixels"])}


def block(width: int = 4, channels: int = 3) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU."""
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True))


class Twice(nn.Module):
    """The block's convolution runs twice, or its output is read twice, or its weight is shared."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.conv, self.norm, self.how = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), how
        self.other = nn.Conv2d(3, 3, 3, padding=1)
        if how == "shared weight":
            self.other.weight = self.conv.weight

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] -> the same."""
        value: Tensor = self.conv(pixels)
        if self.how == "second call":
            value = self.conv(value)
        if self.how == "changed in place":
            value = value.relu_()
        normal: Tensor = self.norm(value)
        return self.other(normal + value if self.how == "second reader" else normal)  # type: ignore[no-any-return]  # a Module


def settled(network: nn.Module, stages: Sequence[Stage] = ()) -> Pictures:
    """The backbone with BatchNorm statistics that are not those of the start, in evaluation mode."""
    torch.manual_seed(0)
    for norm in (module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)):
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return Pictures(network, stages).eval()


def quick(backbone: Backbone, examples: int = 100, *, may_compile: bool = False) -> tuple[Optimised, dict[str, Tensor]]:
    """The copy, and a batch."""
    batch = {"pixels": torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))}
    return optimised(backbone, batch, compute=CPU, examples=examples, may_compile=may_compile), batch


def norms(backbone: Backbone) -> int:
    """BatchNorms that are left."""
    return sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in backbone.modules())


def test_batchnorms_are_folded_and_the_values_stay() -> None:
    backbone = settled(nn.Sequential(block(), block(channels=4), nn.AdaptiveAvgPool2d(1)))
    copy, batch = quick(backbone)
    assert copy.steps == ("2 BatchNorms folded", "channels-last")
    assert norms(copy.backbone) == 0
    prepared = copy.prepare_batch(batch)
    assert prepared["pixels"].is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.allclose(copy.backbone(prepared)["map"], backbone(batch)["map"], atol=1e-5)
    assert 0 < copy.difference < 1e-5


def test_the_original_is_left_as_it_was() -> None:
    backbone = settled(nn.Sequential(block(), block(channels=4)))
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    _, batch = quick(backbone)
    assert norms(backbone) == 2
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    assert all(tensor.is_contiguous() for tensor in backbone.parameters())
    backbone(batch)["map"].sum().backward()
    assert all(weight.requires_grad and weight.grad is not None for weight in backbone.parameters())


@pytest.mark.parametrize("how", ["second call", "second reader", "changed in place", "shared weight"])
def test_what_is_read_or_used_elsewhere_is_not_folded(how: str) -> None:
    copy, _ = quick(settled(nn.Sequential(Twice(how), block())))
    assert copy.steps == ("1 BatchNorm folded", "channels-last")
    assert copy.difference < 1e-5


def test_the_same_network_is_folded_where_nothing_forbids_it() -> None:
    copy, _ = quick(settled(nn.Sequential(Twice("nothing"), block())))
    assert copy.steps == ("2 BatchNorms folded", "channels-last")


def test_a_parametrised_convolution_is_not_folded() -> None:
    network = nn.Sequential(block(), block(channels=4))
    parametrizations.weight_norm(network[0][0])  # type: ignore[index]  # a Sequential
    copy, _ = quick(settled(network))
    assert copy.steps == ("1 BatchNorm folded", "channels-last")


def test_a_batchnorm_across_the_end_of_a_stage_is_not_folded() -> None:
    stages = (Stage("a", ("0.0",)), Stage("b", ("0.1", "0.2")), Stage("c", ("1",)))
    copy, _ = quick(settled(nn.Sequential(block(), block(channels=4)), stages))
    assert copy.steps == ("1 BatchNorm folded", "channels-last")


def test_a_linear_layer_is_folded_too_and_a_transposed_convolution_is_left() -> None:
    network = nn.Sequential(
        nn.Sequential(nn.ConvTranspose2d(3, 4, 2), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5)),
    )
    copy, _ = quick(settled(network))
    assert copy.steps == ("1 BatchNorm folded", "channels-last")
    assert copy.difference < 1e-5


def test_hooks_on_stages_of_the_copy_fire() -> None:
    copy, batch = quick(settled(nn.Sequential(block(), block(channels=4))))
    seen: list[torch.Size] = []
    copy.backbone.network.get_submodule("1").register_forward_hook(lambda *call: seen.append(call[2].shape))
    copy.backbone(copy.prepare_batch(batch))
    assert seen == [torch.Size([3, 4, 8, 8])]


def test_a_network_without_convolutions_is_not_copied() -> None:
    backbone = Pictures(nn.Sequential(nn.Flatten(), nn.Linear(192, 4))).eval()
    copy, _ = quick(backbone)
    assert copy.backbone is backbone
    assert copy.steps == ()


def test_few_examples_do_not_repay_a_copy() -> None:
    backbone = settled(nn.Sequential(block(), block(channels=4)))
    copy, _ = quick(backbone, examples=20)
    assert copy.backbone is backbone


class Particular(nn.Module):
    """Asks its BatchNorm for something that nothing but a BatchNorm has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, 3, S, S] -> [B, 4, S - 2, S - 2]."""
        value: Tensor = self.norm(self.conv(pixels)) * self.norm.eps
        return value


def test_a_network_that_needs_its_batchnorms_runs_as_it_is() -> None:
    backbone = settled(nn.Sequential(Particular()))
    copy, _ = quick(backbone)
    assert copy.backbone is backbone
    assert copy.steps == ()


def test_rows_cloned_outside_of_inference_mode_train() -> None:
    copy, batch = quick(settled(nn.Sequential(block(), block(channels=4))))
    with torch.inference_mode():
        value = copy.backbone(copy.prepare_batch(batch))["map"]
    row = value[0].clone()
    assert not row.is_inference()
    weight = torch.ones(4, 8, 8, requires_grad=True)
    (row * weight).sum().backward()  # saves the row for the backward pass
    assert torch.equal(weight.grad, row)  # type: ignore[arg-type]  # it has a gradient


def test_compiling_is_for_long_passes_only() -> None:
    network = nn.Sequential(block(), block(channels=4))
    assert not repays(network, 10)
    assert repays(network, 1000)


@pytest.mark.slow  # a C++ compiler runs for each of two blocks: 10 to 20 seconds
@pytest.mark.skipif(not can_compile(CPU), reason="needs a C++ compiler")
def test_compiled_stages_give_the_same_and_other_shapes_run_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from torch._dynamo.utils import counters

    from headstart.compiling import silence

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    copy, batch = quick(settled(nn.Sequential(block(), block(channels=4))))
    network, stages, seen = copy.backbone.network, copy.backbone.stages, list[str]()
    prepared = copy.prepare_batch(batch)
    with torch.no_grad():
        plain = [copy.backbone({"pixels": prepared["pixels"][:count]})["map"].clone() for count in (3, 1)]
        with silence():
            compile_stages(network, stages)
            for path in ("0", "1"):
                network.get_submodule(path).register_forward_hook(lambda *_: seen.append("ran"))
            counters.clear()
            again = [copy.backbone({"pixels": prepared["pixels"][:count]})["map"] for count in (3, 1, 3)]
        graphs = counters["stats"]["unique_graphs"]
        plain_stages(network, stages)
        after = copy.backbone(prepared)["map"]
    assert torch.allclose(again[0], plain[0], atol=1e-5)
    assert torch.equal(again[1], plain[1])  # one example: not compiled
    assert torch.equal(again[0], again[2])
    assert torch.equal(after, plain[0])
    assert graphs == 2  # one for each stage, none for the other shape
    assert seen == ["ran"] * 8
    assert capfd.readouterr() == ("", "")


BROKEN = """
import test_optimise as parts, torch
copy, batch = parts.quick(parts.settled(parts.nn.Sequential(parts.block(), parts.block(channels=4))), 10**9, may_compile=True)
value = copy.backbone(copy.prepare_batch(batch))["map"]
print(*copy.steps, list(value.shape), sep="; ")
"""


@pytest.mark.slow  # torch's compiler is imported and runs as far as the C++ compiler: 10 seconds
def test_a_compiler_that_fails_leaves_the_plain_copy_without_a_word(tmp_path: Path) -> None:
    environment = {
        **os.environ, "CXX": shutil.which("false") or "false", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).parent),
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", BROKEN], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "2 BatchNorms folded; channels-last; [3, 4, 8, 8]\n"
    assert done.stderr == ""


def test_waiting_on_a_busy_machine_does_not_count_as_computing() -> None:
    compute = Compute(torch.device("cpu"))
    before = _now(compute)
    time.sleep(0.2)
    assert _now(compute) - before < 0.1
