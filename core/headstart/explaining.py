"""Explaining: what a plugin's explainer is asked, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """What is to be explained.

    Attributes:
        inputs: New inputs, read as the run's data are; none = test cases that the explainer chooses.
        cases: Test cases at most, >= 1.
        method: Name of one of the explainer's methods; "" = what it takes to be best.
    """

    inputs: tuple[str, ...] = ()
    cases: int = 6
    method: str = ""


@dataclass(frozen=True)
class Explained:
    """What was found, written into the run's folder.

    Attributes:
        lines: For a person at a terminal.
        file: The data behind it.
    """

    lines: tuple[str, ...]
    file: Path
