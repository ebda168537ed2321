"""Every error that headstart raises on purpose, and the exit code that each one becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class HeadstartError(Exception):
    """Base of all; the message is one clear sentence naming place, value and fix. Exit code 1."""

    exit_code = 1


class UsageError(HeadstartError):
    """A command, an option or a recipe is wrong. Exit code 2."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One fault of a recipe: where it stands (1-based line and column, 0 = nowhere), what it is and what to type."""

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    source: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.line else (f"{self.file}: " if self.file else "")
        text = place + self.message
        if self.source:
            text += f"\n{self.line:>5} | {self.source}\n        {' ' * (self.column - 1)}^ {self.hint}".rstrip()
        elif self.hint:
            text += f"; {self.hint}"
        return text


class RecipeError(UsageError):
    """All faults of one recipe at once. Exit code 2."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DataError(HeadstartError):
    """Input data is missing, unreadable, leaking or unfit for the task. Exit code 3."""

    exit_code = 3


class MissingError(HeadstartError):
    """A plugin, package or file of weights is not installed; the message holds the line that brings it. Exit code 4."""

    exit_code = 4


class PluginError(MissingError):
    """A plugin that something needs is broken, incompatible or offers a taken name. Exit code 4."""


class WeightsError(MissingError):
    """Weights are absent, of another hash or of another architecture. Exit code 4."""


class FreezingError(HeadstartError):
    """A tensor that was declared frozen changed: a fault of headstart or of a backbone, never of the data."""


class TrainingError(HeadstartError):
    """Training cannot go on: the loss is not finite, or nothing is trainable."""


class LostError(HeadstartError):
    """One of several processes of a run ended, or is not equal to the others."""


class QualityGateError(HeadstartError):
    """The score is under the demanded one (`--fail-under`). Exit code 5."""

    exit_code = 5
