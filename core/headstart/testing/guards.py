"""Guards: watch what a part must leave alone while it works: the network, global random numbers, its inputs."""

from __future__ import annotations

import pickle
import random
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.testing.verdict import ContractError


@contextmanager
def without_network() -> Iterator[list[str]]:
    """Refuse every connection but local sockets while the context lasts; the list gets what was asked for.

    An attempt counts although the code that made it swallows the error.
    """
    asked: list[str] = []
    connect, connect_ex, _resolve = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def refusing(original: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(self: socket.socket, address: Any) -> Any:
            if self.family == socket.AF_UNIX:
                return original(self, address)
            asked.append(str(address))
            raise OSError(f"the network is cut off in this check: {address}")

        return refuse

    def unresolved(host: Any, *_: Any, **__: Any) -> Any:
        asked.append(str(host))
        raise socket.gaierror(socket.EAI_NONAME, f"the network is cut off in this check: {host}")

    patched: dict[Any, tuple[str, Any]] = {}
    for owner, name, stand_in in (
        (socket.socket, "connect", refusing(connect)),
        (socket.socket, "connect_ex", refusing(connect_ex)),
        (socket, "getaddrinfo", unresolved),
    ):
        patched[owner, name] = (name, owner.__dict__.get(name))
        setattr(owner, name, stand_in)
    try:
        yield asked
    finally:
        for (owner, name), (_, original) in patched.items():
            if original is None:
                delattr(owner, name)
            else:
                setattr(owner, name, original)


def seed_all(seed: int) -> None:
    """Seed every global generator, as a caller might have."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def random_state() -> dict[str, bytes]:
    """What the global generators stand at, by library."""
    numpy_state = np.random.get_state()
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy.random": pickle.dumps(numpy_state),
        "random": pickle.dumps(random.getstate()),
    }


@contextmanager
def kept_random_state(doing: str, mend: str) -> Iterator[None]:
    """Demand that nothing is drawn from the global generators inside.

    Raises:
        ContractError: Something was.
    """
    before = random_state()
    yield
    drawn = [name for name, state in random_state().items() if state != before[name]]
    if drawn:
        raise ContractError(f"{doing} draws from the global random numbers of {' and '.join(drawn)}", mend)


def fingerprint(value: Any) -> str:
    """A hash of the contents of any input, tensors and arrays by their bytes."""
    digest = blake2b(digest_size=16)
    for piece in _pieces(value):
        digest.update(piece)
        digest.update(b"\x1f")
    return digest.hexdigest()


def _pieces(value: Any) -> Iterator[bytes]:
    yield type(value).__name__.encode()
    if isinstance(value, Tensor):
        yield str((value.dtype, tuple(value.shape))).encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield str((value.dtype, value.shape)).encode()
        yield value.tobytes()
    elif isinstance(value, (str, bytes)):
        yield value if isinstance(value, bytes) else value.encode()
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield repr(key).encode()
            yield from _pieces(inner)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for inner in sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value:
            yield from _pieces(inner)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _pieces(getattr(value, field.name))
    elif callable(getattr(value, "tobytes", None)):  # a picture of Pillow
        yield value.tobytes()
    else:
        yield repr(value).encode()
