"""BatchNorm folded into the convolution before it: found by watching one forward pass, whatever the network's code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from headstart.stages import Stage


@dataclass
class _Made:
    """What one convolution or linear layer gave in the watched pass, and what read it."""

    module: nn.Module
    output: Callable[[], Tensor | None]  # a weak reference: activations must not pile up
    readers: int = 0
    norm: _BatchNorm | None = None


@dataclass
class Watched:
    """Who read what in the passes that ran inside `watching_readers`."""

    made: list[_Made] = field(default_factory=list)
    uses: Counter[int] = field(default_factory=Counter)


class watching_readers(TorchFunctionMode):  # noqa: N801  # a context, used as a function
    """Note which BatchNorm reads which convolution's output, and how often each is read, while the context lasts.

    Tensors are told apart by identity, so that a module applied twice, a weight shared by two modules, a parametrised or
    adapted weight and an output that anything else reads are all seen for what they are. (Watching functions rather than
    dispatched operators spares the import of torch._dynamo, 1.6 CPU-seconds.)

    Args:
        network: In evaluation mode.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        modules = list(network.modules())
        self.watched = Watched()
        self._norms = {id(module.running_mean): module for module in modules if isinstance(module, _BatchNorm)}
        self._makers = {id(module.weight): module for module in modules if _is_maker(module)}
        self._known = self._makers.keys() | self._norms.keys()

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the function and note what it read, where it gives a tensor at all (asking for a size reads nothing)."""
        output = func(*args, **(kwargs or {}))
        leaves = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if any(isinstance(leaf, Tensor) for leaf in tree_leaves(output)):
            self._note(func, leaves, output)
        return output

    def _note(self, func: Any, leaves: Sequence[Tensor], output: Any) -> None:
        ids = [id(leaf) for leaf in leaves]
        self.watched.uses.update(key for key in ids if key in self._known)
        for made in self.watched.made:
            value = made.output()
            if value is not None and id(value) in ids:
                made.readers += 1
                made.norm = self._norms.get(ids[1]) if func is F.batch_norm and ids[0] == id(value) and len(ids) > 1 else None
        if len(ids) > 1 and ids[1] in self._makers and isinstance(output, Tensor) and _is_layer(func):
            self.watched.made = [made for made in self.watched.made if made.norm is not None or made.output() is not None]
            self.watched.made.append(_Made(self._makers[ids[1]], ref(output)))


def foldable(watched: Watched, network: nn.Module, stages: Sequence[Stage]) -> list[tuple[nn.Module, _BatchNorm]]:
    """Pairs of a convolution (or linear layer) and the BatchNorm that alone reads its output.

    Left out is a pair that the end of a stage divides: its value between the two is one that others read.
    """
    paths = {id(module): path for path, module in network.named_modules()}
    ends = [stage.modules[-1] for stage in stages if stage.modules]
    holders = Counter(id(module.weight) for module in network.modules() if _is_maker(module))
    pairs = []
    for made in watched.made:
        if made.norm is None or made.readers != 1 or not _has_statistics(made.norm):
            continue
        once = all(watched.uses[key] == 1 for key in (id(made.module.weight), id(made.norm.running_mean)))
        maker, norm = paths[id(made.module)], paths[id(made.norm)]
        divided = any(_is_within(maker, end) and not _is_within(norm, end) for end in ends)
        if once and holders[id(made.module.weight)] == 1 and not divided and _remains(made.norm) is not None:
            pairs.append((made.module, made.norm))
    return pairs


def fold(network: nn.Module, pairs: Sequence[tuple[nn.Module, _BatchNorm]]) -> None:
    """Multiply each BatchNorm into its layer, in place; what remains of it (an activation, or nothing) takes its place."""
    for module, norm in pairs:
        fuse: Any = fuse_linear_bn_weights if isinstance(module, nn.Linear) else fuse_conv_bn_weights
        weight, bias = fuse(module.weight, module.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
        module.weight = nn.Parameter(weight.detach(), requires_grad=False)
        module.bias = nn.Parameter(bias.detach(), requires_grad=False)
    remains = {id(norm): _remains(norm) for _, norm in pairs}
    for parent, name, child in list(_children(network)):
        if id(child) in remains:
            setattr(parent, name, remains[id(child)])


def _children(network: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    for parent in network.modules():
        for name, child in parent._modules.items():
            if child is not None:
                yield parent, name, child


def _remains(norm: _BatchNorm) -> nn.Module | None:
    """What is left of a BatchNorm once it is folded: nothing, or the activation that timm's BatchNormAct puts behind it.

    None where it is of a kind that is not known.
    """
    if type(norm).__module__.startswith("torch.nn."):
        return nn.Identity()
    children = dict(norm.named_children())
    return nn.Sequential(*children.values()) if list(children) == ["drop", "act"] else None


def _is_maker(module: nn.Module) -> bool:
    is_kind = isinstance(module, nn.Linear) or (isinstance(module, _ConvNd) and not module.transposed)
    return is_kind and isinstance(module._parameters.get("weight"), nn.Parameter)


def _is_layer(func: Any) -> bool:
    return func in (torch.conv1d, torch.conv2d, torch.conv3d, F.linear)


def _has_statistics(norm: _BatchNorm) -> bool:
    return norm.running_mean is not None and norm.running_var is not None and not norm.training


def _is_within(path: str, end: str) -> bool:
    return path == end or path.startswith(f"{end}.")
