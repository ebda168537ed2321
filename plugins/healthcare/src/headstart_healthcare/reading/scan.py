"""Scan: a 2-D picture that is not read yet, grey as deep as its file, or in colour."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.errors import DataError
from headstart_healthcare.reading.dicom_files import check_pixels, read_dicom
from headstart_healthcare.reading.dicom_pixels import Colour, decode, windowed
from headstart_healthcare.reading.errors import ReadingError, reading
from headstart_healthcare.reading.geometry import Spacing, spacing_of
from headstart_healthcare.reading.light import Light, in_light
from headstart_healthcare.reading.limits import Limits, check_file
from headstart_vision.pictures import SQUEEZE, pixels_of
from headstart_vision.pictures import SUFFIXES as PICTURES

_LIMITS = Limits()


@dataclass(frozen=True)
class How:
    """Options of reading that change what is seen.

    Attributes:
        fit: How a picture fills the network's square: "squeeze" and "pad" show all of it, "centre" cuts its border off.
        light: "own" brings each picture to one mean and deviation.
    """

    window: str = "auto"
    colour: Colour = "refuse"
    limits: Limits = _LIMITS
    fit: str = SQUEEZE
    light: Light = "stored"


HOW = How()


@dataclass(frozen=True)
class Seen:
    """One picture as it was read.

    Attributes:
        pixels: float32 [H, W] in [0, 1], or uint8 [H, W] or [H, W, 3].
        spacing: None = unknown.
        digest: SHA-256 of pixels and shape: equal for equal pictures whatever their file's header.
    """

    pixels: np.ndarray
    spacing: Spacing | None
    digest: str


@dataclass(frozen=True)
class Scan:
    """A picture on disk: DICOM, or any form that vision reads.

    Attributes:
        path: Of the file.
        name: Its pseudonym; all that is ever shown.
        how: Options of reading.
        frame: Of a multi-frame object, from 0; None = it must have one.
        digest: Of its pixels, once it was read; "" = not known yet.
    """

    path: str
    name: str
    how: How = HOW
    frame: int | None = None
    digest: str = ""

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Scan({self.name})"

    def see(self) -> Seen:
        """Read it.

        Raises:
            ReadingError: With the pseudonym and a reason code.
        """
        return reading(self.name, self._seen)

    def pixels(self) -> np.ndarray:
        """float32 [H, W] in [0, 1], or uint8 [H, W] or [H, W, 3]; what a picture network reads."""
        return self.see().pixels

    def load(self) -> Image.Image:
        """8 bits deep, for looking at."""
        pixels = self.pixels()
        return Image.fromarray(pixels if pixels.dtype == np.uint8 else np.round(pixels * 255).astype(np.uint8))

    @property
    def fit(self) -> str:
        """How it fills the network's square."""
        return self.how.fit

    def content(self) -> bytes:
        """What tells it from others: its pixels and how they are shown, not its file."""
        return f"{self.digest or self.see().digest} {self.fit}".encode()

    def _seen(self) -> Seen:
        path = Path(self.path)
        pixels, spacing = self._picture(path) if path.suffix.lower() in PICTURES else self._dicom(path)
        if pixels.min() == pixels.max():
            raise ReadingError("constant")
        pixels = in_light(pixels, self.how.light)
        return Seen(pixels, spacing, digest_of(pixels))

    def _picture(self, path: Path) -> tuple[np.ndarray, None]:
        check_file(path, self.how.limits)
        try:
            pixels = pixels_of(str(path), self.name, max_pixels=self.how.limits.pixels)
        except DataError as error:
            text = str(error)
            reason = "too-large" if "limit" in text else "not-image" if "no picture" in text else "broken"
            raise ReadingError(reason) from None
        return pixels, None

    def _dicom(self, path: Path) -> tuple[np.ndarray, Spacing | None]:
        header = read_dicom(path, self.how.limits)
        frames, _, _ = check_pixels(header, self.how.limits, path.stat().st_size)
        if frames > 1 and self.frame is None:
            raise ReadingError("multi-frame", f"{frames} frames")
        if self.frame is not None and self.frame >= frames:
            raise ReadingError("pixel-header", f"no frame {self.frame}")
        decoded = decode(header, self.how.colour, self.frame)
        return windowed(decoded, header, self.how.window)[0], spacing_of(header, is_needed=False)


def digest_of(pixels: np.ndarray) -> str:
    """SHA-256 of an array's kind, shape and values."""
    head = f"{pixels.dtype}{pixels.shape}".encode()
    return sha256(head + np.ascontiguousarray(pixels).tobytes()).hexdigest()
