"""Floating-point operations of a model, layer by layer, counted in one small pass over real data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from headstart.model import HEAD, Model


@dataclass(frozen=True)
class Layer:
    """One call of a module with weights of its own, or the operations between two such calls (attention's products).

    Attributes:
        stage: That it belongs to; "head" for the head's.
        flops: Of its forward pass, for one unit: an example, or a token where examples differ in size. A product and a sum
            count as two, as in torch.utils.flop_counter; what is not a matrix product or a convolution counts nothing.
        weights: Full names of its parameters.
        vectors: Those of `weights` that have one dimension (biases, norms); their gradient counts nothing.
    """

    stage: str
    flops: float
    weights: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()

    def share(self, trains: Collection[str]) -> float:
        """Share of the layer's matrices that is among the named parameters; 0 without matrices."""
        matrices = [name for name in self.weights if name not in self.vectors]
        return sum(name in trains for name in matrices) / max(1, len(matrices))


def count_flops(
    model: Model, batch: Mapping[str, Tensor], *, units: float, targets: Sequence[Any] | None = None
) -> tuple[Layer, ...]:
    """The model's layers in the order in which they run.

    Args:
        model: On any device; it is run once in evaluation mode and left as it was.
        batch: A prepared batch on the device; two examples are enough.
        units: Sum of the examples' sizes (their number, where all cost the same).
        targets: Of these examples, to count the head's loss as well; None = the head is left out.
    """
    counting = _Counting(first=(*model.stage_names, HEAD)[0])
    names = {id(weight): name for name, weight in model.weights().items()}
    with _at_rest(model), torch.no_grad(), _following(model, names, counting), counting:
        features = model(batch)
        if targets is not None:
            counting.enter(HEAD, ())
            model.head.loss(features, targets)
    vectors = {name for name, weight in model.weights().items() if weight.ndim <= 1}
    return tuple(
        Layer(call.stage, call.flops / units, call.weights, tuple(name for name in call.weights if name in vectors))
        for call in counting.calls
        if call.flops or call.weights
    )


@dataclass
class _Call:
    stage: str
    weights: tuple[str, ...] = ()
    flops: float = 0.0


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Adds the operations of every operator to the call of the module that is running."""

    def __init__(self, *, first: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the same
        self.calls = [_Call(first)]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch._dynamo is imported, which takes 1.6 CPU-seconds

    def enter(self, stage: str, weights: tuple[str, ...]) -> None:
        """A module with these weights begins; with none, what comes next stands between modules."""
        self.calls.append(_Call(stage, weights))

    def leave(self) -> None:
        """The module has ended."""
        self.calls.append(_Call(self.calls[-1].stage))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operator and count it; one without a formula is taken apart first, where it can be."""
        options = dict(kwargs or {})
        formula = FORMULAS.get(func._overloadpacket)
        if formula is None:
            with self:
                taken_apart = func.decompose(*args, **options)
            if taken_apart is not NotImplemented:
                return taken_apart
        output = func(*args, **options)
        if formula is not None:
            self.calls[-1].flops += formula(*args, **options, out_val=output)
        return output


def _attention(query: Tensor, key: Tensor, value: Tensor, *_args: Any, **_options: Any) -> int:
    formula: Callable[..., int] = sdpa_flop_count
    return formula(query.shape, key.shape, value.shape)


FORMULAS: Mapping[Any, Callable[..., Any]] = {
    **flop_registry,
    # the CPU's own attention, which torch's table leaves out
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
}


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
def _following(model: Model, names: Mapping[int, str], counting: _Counting) -> Iterator[None]:
    """Tell the counting when modules with weights of their own begin and end."""
    handles = []
    for module in model.modules():
        own = tuple(names[id(weight)] for weight in module._parameters.values() if weight is not None)
        if own:
            handles.append(module.register_forward_pre_hook(_entering(counting, model.owner[own[0]], own)))
            handles.append(module.register_forward_hook(lambda *_: counting.leave()))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _entering(counting: _Counting, stage: str, weights: tuple[str, ...]) -> Callable[[nn.Module, Any], None]:
    def hook(_module: nn.Module, _inputs: Any) -> None:
        counting.enter(stage, weights)

    return hook
