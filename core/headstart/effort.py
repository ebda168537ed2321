"""Effort: the floating-point operations of training, from one forward pass of one example that is counted layer by layer.

Of a layer's forward operations f, the backward pass takes f for the gradient of its input and f for that of its weights, each
only where it is needed. Only products of matrices and convolutions count. (torch's counter can also count a backward pass, but
takes grouped convolutions for full ones there: 42 times the forward pass of EfficientNet-Lite0, where 2 times is right.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from headstart.model import HEAD, Model

NEVER = 1 << 62


@dataclass(frozen=True)
class Call:
    """One call of a module in the counted pass.

    Attributes:
        path: Of the module in the model: "backbone.layer1.0.conv1", "head.out".
        enter: When it began, as a number in the order of all beginnings and ends.
        leave: When it ended.
        flops: Operations of its own, without those of modules inside it.
    """

    path: str
    enter: int
    leave: int
    flops: int


@dataclass(frozen=True)
class Effort:
    """Operations of one example in one epoch.

    Attributes:
        forward: Of the whole forward pass.
        backward: Of the backward pass, for what trains.
        frozen: Of `forward`, what lies below the first stage that trains: not computed again where its values are stored.
    """

    forward: int
    backward: int
    frozen: int

    def epoch(self, *, is_stored: bool) -> int:
        """Operations of an example in an epoch."""
        return self.forward + self.backward - self.frozen * is_stored


class Trace:
    """A counted forward pass; what any choice of trainable parameters would cost follows from it by arithmetic.

    Args:
        model: On any device; it is left as it was.
        input: One raw input.
        target: Its target; None = a head that is trained by gradient is not counted.
    """

    def __init__(self, model: Model, input: Any, target: Any = None) -> None:
        self._model = model
        device = next((weight.device for weight in model.weights().values()), torch.device("cpu"))
        batch = {name: tensor.to(device) for name, tensor in model.backbone.prepare([input]).items()}
        with _at_rest(model), torch.no_grad(), FlopCounterMode(display=False) as counter, _watching(model, counter) as calls:
            features = model(batch)
            if model.head.by_gradient and target is not None:
                model.head.loss(features, [target])
        self.calls: Sequence[Call] = calls

    def forward(self, stages: Iterable[str]) -> int:
        """Operations of the forward pass in these stages."""
        wanted = set(stages)
        paths = tuple(
            f"backbone.{path}." for stage in self._model.backbone.stages if stage.name in wanted for path in stage.modules
        )
        return sum(call.flops for call in self.calls if f"{call.path}.".startswith(paths)) if paths else 0

    def of(self, names: Iterable[str]) -> Effort:
        """The effort while exactly the named parameters train."""
        trainable = set(names)
        first = min((self._begin(name) for name in trainable), default=NEVER)
        backward = sum(self._backward(call, trainable, first) for call in self.calls)
        return Effort(sum(call.flops for call in self.calls), backward, self.forward(self.frozen_stages(trainable)))

    def frozen_stages(self, names: Iterable[str]) -> tuple[str, ...]:
        """The stages below the first one in which one of the named parameters lies."""
        training = {self._model.owner[name] for name in names}
        order = self._model.stage_names
        return order[: next((at for at, stage in enumerate(order) if stage in training), len(order))]

    def _begin(self, name: str) -> int:
        """When a parameter is first used: as its module begins; where it lies loose, on what its stage's first module gave."""
        path, owner = name.rpartition(".")[0], self._model.owner[name]
        direct = [call.enter for call in self.calls if call.path == path and path not in ("backbone", HEAD)]
        if direct:
            return min(direct)
        near = [call for call in self.calls if self._is_of(call, owner)]
        return min(near, key=lambda call: call.enter).leave if near else 0

    def _is_of(self, call: Call, owner: str) -> bool:
        if owner == HEAD:
            return call.path.startswith(f"{HEAD}.")
        [stage] = [stage for stage in self._model.backbone.stages if stage.name == owner]
        return f"{call.path}.".startswith(tuple(f"backbone.{path}." for path in stage.modules) or ("\0",))

    def _backward(self, call: Call, trainable: set[str], first: int) -> int:
        if not call.flops or call.leave < first:
            return 0
        own = [name for name in self._weights_of(call.path) if self._model.weights()[name].ndim > 1]
        if not own:
            return 2 * call.flops  # a product of two activations, each of which has a gradient
        share = sum(name in trainable for name in own) / len(own)
        return round(call.flops * ((call.enter > first) + share))

    def _weights_of(self, path: str) -> list[str]:
        """Parameters that a module holds itself."""
        return [name for name in self._model.weights() if name.rpartition(".")[0] == path]


@contextmanager
def _at_rest(model: Model) -> Iterator[None]:
    """In evaluation mode: no statistic moves."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def _watching(model: Model, counter: FlopCounterMode) -> Iterator[list[Call]]:
    """Note the calls of all modules while the context lasts."""
    calls: list[Call] = []
    opened: list[tuple[int, int, int]] = []  # enter, count at enter, count within inner modules
    tick = 0

    def enter(_module: nn.Module, _inputs: Any) -> None:
        nonlocal tick
        opened.append((tick, int(counter.get_total_flops()), 0))
        tick += 1

    def leave(path: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, _output: Any) -> None:
            nonlocal tick
            began, before, inner = opened.pop()
            spent = int(counter.get_total_flops()) - before
            calls.append(Call(path, began, tick, spent - inner))
            if opened:
                opened[-1] = (*opened[-1][:2], opened[-1][2] + spent)
            tick += 1

        return hook

    handles = []
    for root, module in (("backbone", model.backbone.network), (HEAD, model.head)):
        for name, inner in module.named_modules():
            path = f"{root}.{name}" if name else root
            handles += [inner.register_forward_pre_hook(enter), inner.register_forward_hook(leave(path))]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
