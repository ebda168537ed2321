"""The key of a store: everything that decides a stored value. A change of anything in it is another store.

What cannot be told, such as code without a source file, is not stored rather than guessed.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from packaging.requirements import InvalidRequirement, Requirement
from torch import Tensor, nn

from headstart.backbone import Backbone
from headstart.device import Compute
from headstart.files import file_hash
from headstart.installed import installed_version
from headstart.recipe import Part
from headstart.stages import Stage
from headstart.store_content import content_digest, of_example
from headstart.store_folder import StoreError

__all__ = ["StoreKey", "code_version", "computing", "content_digest", "of_example", "preparing", "weights_digest"]

_BY_VERSION = ("torch", "numpy", "builtins", "abc", "typing")  # told by their versions, not by their source
_PLUGIN_FILES = 500  # a package with more is a library, which its version tells
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # in the `repr` of some objects; another in each process


@dataclass(frozen=True)
class StoreKey:
    """What decides a stored value, but for the example itself.

    Attributes:
        weights: `weights_digest` of the stages up to the boundary.
        preparing: `preparing` of the backbone: how an input becomes tensors.
        boundary: Name of the stage after which values are stored, or "ports:pooled,tokens".
        view: "plain", or "augment DIGEST seed=S view=V", where DIGEST is `preparing` of the data; the contents of augmented
            views are those of `of_example`.
        dtype: "float32", "float16" (compact) or "bfloat16".
        compute: `computing`: what may change bits.
        code: `code_version`.
    """

    weights: str
    preparing: str
    boundary: str
    view: str
    dtype: str
    compute: str
    code: str

    def digest(self) -> str:
        """128 bits in hexadecimal; the name of the store's folder."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]


def weights_digest(network: nn.Module, stages: Sequence[Stage]) -> str:
    """Digest of every tensor (parameters and buffers: name, dtype, shape, bytes) and the printed structure of the stages.

    Args:
        network: `Backbone.network`.
        stages: Those up to the boundary, the boundary's included.
    """
    digest = sha256()
    for path in (path for stage in stages for path in stage.modules):
        digest.update(f"{path}={_ADDRESS.sub('', repr(network.get_submodule(path)))}\0".encode())
    for name, tensor in _tensors(network, stages):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()


def _tensors(network: nn.Module, stages: Sequence[Stage]) -> Iterable[tuple[str, Tensor]]:
    """Tied weights under each of their names: a boundary may lie between them."""
    prefixes = tuple(f"{path}." for stage in stages for path in stage.modules)
    loose = {name for stage in stages for name in stage.params}
    named = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    return ((name, tensor) for name, tensor in sorted(named) if name.startswith(prefixes) or name in loose)


def preparing(part: Any, options: Part | None = None) -> str:
    """How a backbone or data turns inputs into tensors: class, distribution and version, and a digest of the rest.

    The rest is the source of the packages of all its classes (torch and numpy apart), its options, and for a backbone what
    its weights expect and what it says itself (`Backbone.reading`). Options go in as a digest: they may name files.

    Args:
        part: The backbone or data.
        options: As the recipe has them; None = they are told otherwise.

    Raises:
        StoreError: One of its classes has no source file.
    """
    facts: dict[str, Any] = {
        "sources": [f"{module} {_source(module)}" for module in _modules(type(part))],
        "options": None if options is None else [options.use, dict(options.options)],
    }
    if isinstance(part, Backbone):
        facts |= {"card": [part.card.source, part.card.sha256, part.card.expects], "reading": part.reading()}
    rest = sha256(json.dumps(facts, sort_keys=True, default=_without_address).encode()).hexdigest()
    return f"{_name(type(part))} {_distribution_version(type(part))} {rest[:32]}"


def _without_address(value: Any) -> str:
    return _ADDRESS.sub("", repr(value))


def computing(compute: Compute, *, exact: bool, steps: Sequence[str] = ()) -> str:
    """What of the machine and the way of computing may change bits.

    Args:
        compute: Device and precision.
        exact: `train.exact`.
        steps: What was done to the backbone to make it faster (`Optimised.steps`).
    """
    device = compute.device.type
    backends: Any = torch.backends  # whose types do not tell all of its settings
    if device == "cuda":
        unit, products = (
            torch.cuda.get_device_name(compute.device),
            (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn),
        )
    else:
        unit, products = backends.cpu.get_cpu_capability(), (backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn)
    # "tf32" or "bf16" where someone allowed it; "ieee" and "none" both mean float32
    shortened = "/".join(product.fp32_precision.replace("ieee", "none") for product in products)
    precision = "bf16" if compute.bf16 else "float32"
    return ", ".join([device, unit, precision, shortened, "exact" if exact else "optimised", *steps])


def code_version(*parts: Any) -> str:
    """Versions of headstart, torch, numpy, and of the distributions of the parts with what they require directly."""
    names = {"headstart", "torch", "numpy"}
    for distribution in filter(None, (_distribution(_top(type(part))) for part in parts)):
        names |= {distribution.name.lower(), *_required(distribution)}
    return ", ".join(f"{name} {version}" for name in sorted(names) if (version := installed_version(name)))


def _name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _top(cls: type) -> str:
    return cls.__module__.partition(".")[0]


def _modules(cls: type) -> list[str]:
    return sorted({base.__module__ for base in cls.__mro__ if _top(base) not in _BY_VERSION})


@lru_cache(maxsize=256)
def _source(module: str) -> str:
    """Digest of the source of a module's top package; of the module alone where there is none or a large one."""
    top = sys.modules.get(module.partition(".")[0])
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or not Path(file).is_file():
        raise StoreError(f"the code of '{module}' is in no file, so that a change of it could not be seen; it is not stored")
    places = getattr(top, "__path__", None)
    files = [] if places is None else [path for place in places for path in Path(place).rglob("*.py")]
    files = files if 0 < len(files) <= _PLUGIN_FILES else [Path(file)]
    digest = sha256()
    for path in sorted(files):
        digest.update(f"{path.name} {file_hash(path)}\n".encode())
    return digest.hexdigest()


@lru_cache(maxsize=256)
def _distribution(top: str) -> metadata.Distribution | None:
    """The distribution of a top package: a plugin's by its entry point, another by its name.

    `metadata.packages_distributions` knows all of them, but needs a second for it.
    """
    for entry in metadata.entry_points(group="headstart"):
        if entry.module.partition(".")[0] == top and entry.dist is not None:
            return entry.dist
    try:
        return metadata.distribution(top)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _distribution_version(cls: type) -> str:
    distribution = _distribution(_top(cls))
    return f"{distribution.name} {distribution.version}" if distribution else "no distribution"


def _required(distribution: metadata.Distribution) -> set[str]:
    """Names of what a distribution requires without extras; its own libraries decide how inputs are prepared."""
    if distribution.name == "headstart":
        return set()  # report and command line among them; what computes is named
    requirements = []
    for text in distribution.requires or ():
        try:
            requirements.append(Requirement(text))
        except InvalidRequirement:
            continue
    return {found.name.lower() for found in requirements if found.marker is None or found.marker.evaluate({"extra": ""})}
