"""The cost rule: whether a boundary's values are kept in memory, on disk or computed again, from measured figures.

Storing pays where reading a value takes less time than preparing and computing it anew, as often as it is used
(performance: bytes / bandwidth < decoding + augmentation + F(0, k) / rate).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from headstart.device import free_memory

Place = Literal["memory", "disk", "live"]
Wish = Literal["auto", "memory", "disk", "off"]

MEMORY_SHARE = 0.4  # of the free memory, at most, for one split's values; the rest is for training
DISK_SHARE = 0.5  # of the free disk
MEMORY_BANDWIDTH = 4e9  # bytes a second: gathering rows of a batch; 26 GB/s for plain copies on the machine it was tried on
DISK_BANDWIDTH = 5e8  # bytes a second
WORTH_SECONDS = 10.0  # of computing, from which on later runs are spared it: "auto" keeps such values on disk
WORTH_BYTES = 1e9  # but not more than these of one split


@dataclass(frozen=True)
class Offer:
    """What storing the values of one split at one boundary would mean.

    Attributes:
        where: The boundary in words: "after layer3", "pooled".
        bytes: Of all values.
        seconds: Of preparing and computing them once.
        saved: How many passes over the examples are spared, besides the one that stores.
        examples: Number of examples.
        is_on_disk: A store on disk holds such values already.
    """

    where: str
    bytes: float
    seconds: float
    saved: int
    examples: int
    is_on_disk: bool = False


@dataclass(frozen=True)
class Decision:
    """Where values are kept, and why, in words."""

    place: Place
    why: str


def decide(offer: Offer, wish: Wish, *, disk: Path | None) -> Decision:
    """Decide about one split and boundary.

    Args:
        offer: The figures.
        wish: `train.store`.
        disk: Folder of the disk stores; None = these examples cannot be stored on disk.
    """
    fits_memory, fits_disk = offer.bytes <= MEMORY_SHARE * free_memory(torch.device("cpu")), _fits_disk(offer, disk)
    if wish == "off" or offer.saved < 1:
        return Decision("live", "train.store is off" if wish == "off" else f"{offer.where} would be used once only")
    if wish == "auto" and not _pays(offer, MEMORY_BANDWIDTH):
        return Decision("live", f"reading the values {offer.where} would take longer than computing them")
    if fits_disk and (wish == "disk" or (wish == "auto" and _is_for_later(offer, fits_memory=fits_memory))):
        return Decision("disk", _gain(offer, DISK_BANDWIDTH))
    if fits_memory:
        return Decision("memory", _gain(offer, MEMORY_BANDWIDTH))
    return Decision("live", f"the values {offer.where} would take {offer.bytes / 1e9:.1f} GB of memory")


def _is_for_later(offer: Offer, *, fits_memory: bool) -> bool:
    """Whether later runs should be spared the work, too, or memory is short."""
    is_worth = offer.is_on_disk or (offer.seconds >= WORTH_SECONDS and offer.bytes <= WORTH_BYTES)
    return (is_worth or not fits_memory) and _pays(offer, DISK_BANDWIDTH)


def _pays(offer: Offer, bandwidth: float) -> bool:
    return offer.bytes / bandwidth < offer.seconds


def _gain(offer: Offer, bandwidth: float) -> str:
    each = 1e3 * max(0.0, offer.seconds - offer.bytes / bandwidth) / max(1, offer.examples)
    times = "once" if offer.saved == 1 else f"{offer.saved} times"
    return f"spares about {each:.2g} ms per example {times}"


def _fits_disk(offer: Offer, disk: Path | None) -> bool:
    if disk is None:
        return False
    existing = next((folder for folder in (disk, *disk.parents) if folder.exists()), None)
    return existing is not None and offer.bytes <= DISK_SHARE * shutil.disk_usage(existing).free
