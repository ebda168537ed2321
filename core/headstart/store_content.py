"""The content of one raw input as a digest: what finds its row in a store again, in whatever order and under whatever name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.files import file_hash


def content_digest(input: Any, *, modality: str = "text") -> str | None:
    """Digest of one raw input by its content; None = it cannot be told, and nothing of it is stored on disk.

    Texts count to the letter, files by their bytes and not by their name, arrays by dtype, shape and bytes, mappings and
    sequences by their parts. An input of another kind may have a method `content() -> bytes`.

    Args:
        input: `Example.input`.
        modality: Of the backbone; where it is not "text", a string that names a file stands for the file.
    """
    digest = sha256()
    return digest.hexdigest() if all(_told(piece, digest) for piece in _pieces(input, modality)) else None


def of_example(content: str | None, id: str) -> str | None:
    """The content of one example's augmented view: its augmentation is a function of the id too."""
    return None if content is None else sha256(f"{content} {id}".encode("utf-8", "surrogatepass")).hexdigest()


def _told(piece: bytes | None, digest: Any) -> bool:
    if piece is not None:
        digest.update(len(piece).to_bytes(8, "little") + piece)  # with the length, so that no two ways to join are equal
    return piece is not None


def _pieces(input: Any, modality: str) -> Iterable[bytes | None]:
    """The content as a sequence of bytes; a None among them = it cannot be told."""
    if callable(content := getattr(input, "content", None)):
        yield from (b"content", content())
    elif isinstance(input, str) and not (modality != "text" and _is_file(input)):
        yield from (b"text", input.encode("utf-8", "surrogatepass"))
    elif isinstance(input, (str, os.PathLike)):
        yield from (b"file", _file_digest(os.fspath(input)))
    elif isinstance(input, (bytes, bytearray)):
        yield from (b"bytes", bytes(input))
    elif input is None or isinstance(input, (bool, int, float)):
        yield from (b"plain", repr(input).encode())
    elif isinstance(input, Mapping):
        yield from _of_mapping(input, modality)
    elif isinstance(input, (list, tuple)):
        yield from (b"sequence", str(len(input)).encode())
        for part in input:
            yield from _pieces(part, modality)
    else:
        yield from _of_array(input)


def _of_mapping(input: Mapping[Any, Any], modality: str) -> Iterable[bytes | None]:
    yield from (b"mapping", str(len(input)).encode())
    if not all(isinstance(name, str) for name in input):
        yield None
        return
    for name in sorted(input):
        yield name.encode("utf-8", "surrogatepass")
        yield from _pieces(input[name], modality)


def _of_array(input: Any) -> Iterable[bytes | None]:
    if isinstance(input, Tensor):
        raw = input.detach().cpu().contiguous()
        yield from (b"tensor", f"{raw.dtype} {tuple(raw.shape)}".encode(), raw.reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(input, (np.ndarray, np.generic)) and not np.asarray(input).dtype.hasobject:
        array = np.asarray(input)
        yield from (b"array", f"{array.dtype.descr} {array.shape}".encode(), np.ascontiguousarray(array).tobytes())
    elif type(input).__module__.startswith("PIL.") and hasattr(input, "tobytes"):
        facts = (input.mode, input.size, input.getpalette(), input.info.get("transparency"))
        yield from (b"picture", repr(facts).encode(), input.tobytes())
    else:
        yield None


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or with a zero byte
        return False


def _file_digest(path: Any) -> bytes | None:
    try:
        return file_hash(Path(os.fsdecode(path))).encode() if _is_file(os.fsdecode(path)) else None
    except OSError:
        return None
