"""PixelArray: a 2-D picture that is in memory already, as benchmark files hold it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from headstart_healthcare.reading.scan import digest_of
from headstart_vision.pictures import SQUEEZE


@dataclass(frozen=True)
class PixelArray:
    """Answers as `Scan` does.

    Attributes:
        values: uint8 [H, W] or [H, W, 3], or float32 [H, W] in [0, 1].
        name: All that is ever shown.
        fit: How it fills the network's square.
    """

    values: np.ndarray = field(repr=False)
    name: str = ""
    fit: str = SQUEEZE

    def __str__(self) -> str:
        return self.name

    def pixels(self) -> np.ndarray:
        """What a picture network reads."""
        return self.values

    def load(self) -> Image.Image:
        """8 bits deep, for looking at."""
        return Image.fromarray(self.values if self.values.dtype == np.uint8 else np.round(self.values * 255).astype(np.uint8))

    def content(self) -> bytes:
        """What tells it from others."""
        return f"{digest_of(self.values)} {self.fit}".encode()
