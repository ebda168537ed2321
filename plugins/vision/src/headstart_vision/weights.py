"""Weights: from the place that a recipe names to tensors in a network, checked by hash, names and shapes; no pickle is run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from headstart.errors import WeightsError
from headstart.files import file_hash
from headstart.offline import is_offline
from headstart.place import locate

NONE = "none"
SAVED = "model.safetensors"
WRAPPERS = ("state_dict", "model")  # what training scripts put a state dict into, torchvision's and timm's among them
NAMED_HASH = re.compile(r"-([a-f0-9]{8,64})\.")  # torchvision names a file after the first digits of its sha256


def find_file(place: str) -> Path:
    """The file of weights behind a path, a folder that holds model.safetensors, or `package:DISTRIBUTION/FILE`.

    Raises:
        WeightsError: Nothing is there. MissingError: The package is not installed.
    """
    path = locate(place)
    path = path / SAVED if path.is_dir() else path
    if not path.is_file():
        raise WeightsError(f"weights: there is no file {path}; name a .safetensors or .pth file, package:DIST/FILE or none")
    return path


def fetch(url: str) -> Path:
    """The file of a URL in torch's cache (TORCH_HOME), fetched once; its name holds the beginning of its sha256.

    Raises:
        WeightsError: It is not in the cache and cannot be fetched, or its hash is not the one in its name.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        _download(url, path)
    named = NAMED_HASH.search(path.name)
    if named and not file_hash(path).startswith(named[1]):
        raise WeightsError(f"weights: the sha256 of {path} does not begin with {named[1]}, as its name says; delete the file")
    return path


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of a .pth file without code (`weights_only`).

    Raises:
        WeightsError: It is damaged, or would have to run code to be read.
    """
    try:
        content: dict[str, Any] = load_file(str(path)) if path.suffix == ".safetensors" else _read_pth(path)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"weights: {path} cannot be read as tensors alone ({reason}); it is damaged or holds code, which is never run: "
            "save its state_dict() as .safetensors"
        ) from error
    wrapped = [content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping)]
    tensors: Mapping[Any, Any] = wrapped[0] if wrapped else content
    return {str(name).removeprefix("module."): tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)}


def fill(network: nn.Module, tensors: Mapping[str, Tensor], source: str, *, ignored: Sequence[str] = ()) -> None:
    """Put tensors into a network; `ignored` are beginnings of names that belong to what was cut off (the classifier).

    Raises:
        WeightsError: Tensors are missing, too many or of another shape; counted, with the first names.
    """
    own = network.state_dict()
    given = {name: tensor for name, tensor in tensors.items() if name in own or not name.startswith(tuple(ignored))}
    misshaped = [name for name, tensor in given.items() if name in own and tensor.shape != own[name].shape]
    fitting = {name: tensor for name, tensor in given.items() if name not in misshaped}
    result = network.load_state_dict(fitting, strict=False)
    missing = [name for name in result.missing_keys if name not in misshaped and not name.endswith("num_batches_tracked")]
    if missing or misshaped or result.unexpected_keys:
        shapes = [f"{name} {list(given[name].shape)} instead of {list(own[name].shape)}" for name in misshaped[:2]]
        examples = ", ".join([*missing[:2], *shapes, *result.unexpected_keys[:2]])
        raise WeightsError(
            f"weights: {source} does not fit a {type(network).__name__} of this size: {len(missing)} tensors are missing, "
            f"{len(misshaped)} have another shape, {len(result.unexpected_keys)} are too many ({examples})"
        )


def _read_pth(path: Path) -> dict[str, Any]:
    content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, Mapping):
        raise ValueError(f"it holds a {type(content).__name__} and no state dict")
    return dict(content)


def _download(url: str, path: Path) -> None:
    if is_offline():
        raise WeightsError(_unreachable(url, path, "offline, and not in the cache"))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), progress=False)
    except (OSError, RuntimeError) as error:
        raise WeightsError(_unreachable(url, path, f"{type(error).__name__}: {error}")) from error


def _unreachable(url: str, path: Path, why: str) -> str:
    return (
        f"weights: cannot get {url} ({why}); fetch it where there is a network and put it at {path}, "
        "or write weights: FILE for a local file, or weights: none for random ones"
    )
