"""The interface of a strategy: it looks at a model and says, phase by phase, what trains. It trains nothing itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from headstart.model import Model
from headstart.phases import Phase


class Strategy(ABC):
    """A way of transfer. Keyword-only arguments of `__init__` are the recipe's options."""

    def prepare(self, model: Model) -> None:
        """Change the model before the first phase (add adapters); the default does nothing."""

    @abstractmethod
    def phases(self, model: Model) -> Sequence[Phase]:
        """The phases in order, for this model's stages."""

    def penalty(self, model: Model) -> Tensor | float:
        """A term added to every loss (L2-SP and the like); the default is 0."""
        return 0.0
