"""Heat: maps of what an answer hangs on, by gradient (Grad-CAM) or by covering parts (occlusion), in 2-D and 3-D."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headstart.builtin.explained_scores import log_odds_of, score_of
from headstart.errors import UsageError
from headstart.features import Features
from headstart.model import Model

LEAST_CELLS = 7  # per axis of the map that Grad-CAM reads, as a ResNet has at 224 pixels
"""Planted signs on ImageNet's EfficientNet-Lite0, frozen: with 8 cells per axis the hottest place lay in the sign in 4 of 4
pictures and 6 of 6 volumes, with 4 cells in 0 of 4 and 2 of 6 (tests/healthcare/test_explain.py holds the first of each)."""

CELLS = {4: 10, 5: 5}  # per axis that occlusion covers in turn, by the number of axes of a batch: 100 and 125 passes
AT_ONCE = {4: 32, 5: 8}  # covered copies in one pass
MODES = {4: "bilinear", 5: "trilinear"}


@dataclass(frozen=True)
class Heat:
    """Maps of some examples.

    Attributes:
        method: "grad-cam" or "occlusion".
        coarse: As they were computed, [B, h, w] or [B, d, h, w]; not normalised, so that examples can be compared.
        fine: The same at the size of the prepared input, [B, H, W] or [B, D, H, W].
        signed: As `coarse`, with what speaks against the label below zero, which Grad-CAM cuts off.
        where: Which map or grid was read, in words.
    """

    method: str
    coarse: np.ndarray
    fine: np.ndarray
    signed: np.ndarray
    where: str


def grad_cam(model: Model, batch: Mapping[str, Tensor], labels: Sequence[str], port: str | None = None) -> Heat:
    """Grad-CAM (Selvaraju et al. 2017, equations 1 and 2): the map's channels, weighed by their mean gradient, cut at zero.

    Works where nothing of the network trains: the gradient goes to the map, not to weights.

    Args:
        model: On the device of the batch; its modes are set to evaluation.
        batch: Prepared inputs of B examples.
        labels: What is explained of each.
        port: The map that is read; None = `choose_port`.

    Raises:
        UsageError: No map of the network leads to its answer.
    """
    name, pixels = spatial_input(batch)
    port = port or choose_port(model, batch)
    model.eval()
    with torch.enable_grad(), _wanting(model, port):
        features = model({**batch, name: pixels.detach().clone().requires_grad_()})
        score = torch.stack([score_of(model.head, _one(features, at), label)[0] for at, label in enumerate(labels)])
        (slopes,) = torch.autograd.grad(score.sum(), [features[port]], allow_unused=True)
    if slopes is None:
        raise UsageError(
            f"the map '{port}' of this network does not lead to its answer (a transformer's patches beside its class token); "
            "explain it by occlusion: --method occlusion"
        )
    weights = slopes.flatten(2).mean(dim=2)  # [B, C]
    signed = torch.einsum("bc,bc...->b...", weights, features[port].detach())
    coarse = signed.relu()
    cells = " x ".join(map(str, coarse.shape[1:]))
    return Heat(
        "grad-cam", _array(coarse), _array(_enlarged(coarse, pixels)), _array(signed), f"the port {port}, {cells} cells"
    )


@torch.no_grad()
def occlusion(
    model: Model, batch: Mapping[str, Tensor], labels: Sequence[str], cells: int | None = None, *, spread: float = 0.5
) -> Heat:
    """How much the label's log odds fall when a part is covered by the input's mean; after Zeiler & Fergus 2014, section 4.2.

    Their probability would not fall visibly where the network is very sure.

    Args:
        model: On the device of the batch; its modes are set to evaluation.
        batch: Prepared inputs of B examples.
        labels: What is explained of each.
        cells: Parts along each axis, each covered in turn; None = 10 in two dimensions and 5 in three.
        spread: How far a cover reaches beyond its part on each side, in parts, so that a sign on an edge is covered whole.
    """
    name, pixels = spatial_input(batch)
    count = cells or CELLS[pixels.ndim]
    model.eval()
    edges = [np.linspace(0, side, min(count, side) + 1).round().astype(int) for side in pixels.shape[2:]]
    boxes = list(product(*(_covers(edge, spread) for edge in edges)))
    shape = [len(edge) - 1 for edge in edges]
    falls = [_falls(model, name, one[None], label, boxes) for one, label in zip(pixels, labels, strict=True)]
    coarse = torch.from_numpy(np.stack(falls).reshape(len(falls), *shape)).float()
    words = f"{' x '.join(map(str, shape))} parts covered by the mean, in turn"
    return Heat("occlusion", _array(coarse), _array(_enlarged(coarse.to(pixels.device), pixels)), _array(coarse), words)


@torch.no_grad()
def choose_port(model: Model, batch: Mapping[str, Tensor]) -> str:
    """The deepest map with at least 7 cells along each axis, of inputs of this size; the finest where none has so many.

    Raises:
        UsageError: The network gives no maps.
    """
    _, pixels = spatial_input(batch)
    ports = [port for port in model.backbone.ports if port.startswith("map.")] or ["map"]
    if not set(ports) <= set(model.backbone.ports):
        raise UsageError("this network gives no maps, so there is nothing for Grad-CAM to read; use --method occlusion")
    model.eval()
    with _wanting(model, *ports):
        found = model.backbone({name: tensor[:1] for name, tensor in batch.items()})
    sides = {port: min(found[port].shape[2:]) for port in ports if found[port].ndim == pixels.ndim}
    fine = [port for port, side in sides.items() if side >= LEAST_CELLS]
    return max(fine, key=_level) if fine else max(sides, key=lambda port: sides[port])


def spatial_input(batch: Mapping[str, Tensor]) -> tuple[str, Tensor]:
    """Name and tensor of the one input that has places: [B, C, H, W] or [B, C, D, H, W].

    Raises:
        UsageError: There is none: the network reads texts, tables or bags.
    """
    found = [(name, tensor) for name, tensor in batch.items() if tensor.ndim in MODES and tensor.is_floating_point()]
    if len(found) != 1 or len(batch) != 1:
        raise UsageError(
            "heat maps are for networks on pictures and volumes; of a bag, predictions name the slices that counted"
        )
    return found[0]


class _wanting:  # noqa: N801  # a context, used as a function
    """The backbone gives these ports too, while the context lasts."""

    def __init__(self, model: Model, *ports: str) -> None:
        self._model, self._ports = model, ports

    def __enter__(self) -> None:
        self._model.backbone.want((*self._model.head.needs, *self._ports))

    def __exit__(self, *_error: object) -> None:
        self._model.backbone.want((*self._model.head.needs, *self._model.head.training_ports))


def _falls(model: Model, name: str, one: Tensor, label: str, boxes: Sequence[tuple[tuple[int, int], ...]]) -> np.ndarray:
    mean = one.mean(dim=tuple(range(2, one.ndim)), keepdim=True)
    found = [log_odds_of(model.head, model({name: one}), label)]
    size = AT_ONCE[one.ndim]
    for some in (boxes[start : start + size] for start in range(0, len(boxes), size)):
        copies = one.repeat(len(some), *[1] * (one.ndim - 1))
        for copy, box in zip(copies, some, strict=True):
            places = (slice(None), *(slice(begin, end) for begin, end in box))
            copy[places] = mean[0].expand_as(copy)[places]
        found.append(log_odds_of(model.head, model({name: copies}), label))
    values: np.ndarray = np.concatenate(found)
    falls: np.ndarray = values[0] - values[1:]
    return falls


def _covers(edges: np.ndarray, spread: float) -> list[tuple[int, int]]:
    """Begin and end of each cover along one axis."""
    more = [round(spread * (end - begin)) for begin, end in pairwise(edges)]
    return [
        (max(int(begin) - extra, 0), min(int(end) + extra, int(edges[-1])))
        for (begin, end), extra in zip(pairwise(edges), more, strict=True)
    ]


def _one(features: Features, at: int) -> Features:
    return {port: tensor[at : at + 1] for port, tensor in features.items()}


def _enlarged(coarse: Tensor, pixels: Tensor) -> Tensor:
    return F.interpolate(coarse[:, None], size=pixels.shape[2:], mode=MODES[pixels.ndim], align_corners=False)[:, 0]


def _level(port: str) -> int:
    number = port.rpartition(".")[2]
    return int(number) if number.isdigit() else 0


def _array(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.detach().cpu().float(), dtype=np.float32)
