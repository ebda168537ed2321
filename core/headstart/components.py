"""Components: what a plugin offers, as light records with import strings; nothing is imported until it is used."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

Kind = Literal["backbone", "head", "strategy", "data", "evaluation", "report", "explainer", "case"]
KINDS: tuple[Kind, ...] = ("backbone", "head", "strategy", "data", "evaluation")
"""Kinds that a recipe can name; sections of the report and explainers work where they find something, cases are for tests."""


@dataclass(frozen=True)
class Component:
    """One part that a plugin offers.

    Attributes:
        name: `plugin/thing`, lower case with hyphens; the core's own have no prefix.
        target: Import string "package.module:Class"; imported only when the part is built.
        summary: One line for `headstart list`, with the paper where there is one.
        licence: Licence of the default weights, where the part carries any.
        megabytes: Size of the default weights, 0 = none.
        requires: Distributions that the part needs and the plugin does not bring.
    """

    name: str
    target: str
    summary: str
    licence: str = ""
    megabytes: float = 0.0
    requires: tuple[str, ...] = ()

    def load(self) -> Any:
        """Import and return the class.

        Raises:
            ImportError, AttributeError: The import string leads nowhere.
        """
        module, _, attribute = self.target.partition(":")
        return getattr(import_module(module), attribute)
