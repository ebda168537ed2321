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
        """Change the model before the first phase (add adapters); the default does nothing.

        The global random numbers of torch are seeded by the recipe when this is called, and the model's parameters get
        their owners anew afterwards: what is added inside a stage's modules belongs to that stage.
        """

    @abstractmethod
    def phases(self, model: Model) -> Sequence[Phase]:
        """The phases in order, for this model's stages."""

    def finish(self, model: Model) -> None:
        """Change the trained model back before it is saved (merge adapters), so that it loads without this strategy.

        What it predicts must stay the same within rounding; the default does nothing.
        """

    def penalty(self, model: Model) -> Tensor | float:
        """A term added to every loss (L2-SP and the like); the default is 0."""
        return 0.0
