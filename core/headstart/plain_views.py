"""Plain views: what methods without a network look at, in a domain of which the core knows nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headstart.data import Data
from headstart.errors import DataError
from headstart.example import Example

Parts = Mapping[str, Sequence[Example]]


def plainly_seen(data: Data, parts: Parts) -> tuple[str, Parts]:
    """The form of the views, "text" or "numbers", and the examples with them as inputs; else the modality and the examples.

    Raises:
        DataError: The part gives neither texts nor numbers, or numbers that are not finite or not as many for each example.
    """
    if type(data).plain_view is Data.plain_view:
        return data.modality, parts
    views = {name: [data.plain_view(example.input) for example in part] for name, part in parts.items()}
    every = [view for part in views.values() for view in part]
    if all(view is None for view in every):
        return data.modality, parts
    is_text = isinstance(every[0], str)
    if not is_text:
        _check_numbers(data, every)
    elif not all(isinstance(view, str) for view in every):
        raise DataError(f"plain_view of {type(data).__name__} gives a text for some examples and none for others")
    pairs = {name: zip(part, views[name], strict=True) for name, part in parts.items()}
    seen = {name: [replace(example, input=view) for example, view in part] for name, part in pairs.items()}
    return "text" if is_text else "numbers", seen


def _check_numbers(data: Data, views: Sequence[Any]) -> None:
    shapes = {np.shape(view) if view is not None else None for view in views}
    is_row = len(shapes) == 1 and len(next(iter(shapes)) or ()) == 1
    if not is_row or not np.isfinite(np.asarray(views, dtype=float)).all():
        shown = ", ".join(sorted(str(shape) for shape in shapes)[:3])
        raise DataError(
            f"plain_view of {type(data).__name__} gives values of the shapes {shown}; give each example a text, or as many "
            "finite numbers as any other"
        )
