"""A model: one backbone, one head, and the names by which their parameters are selected, frozen and proven."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TypeVar

from torch import Tensor, nn

from headstart.backbone import Backbone
from headstart.errors import UsageError
from headstart.features import Features
from headstart.head import Head
from headstart.phases import Group
from headstart.stages import owners

HEAD = "head"


class Model(nn.Module):
    """Backbone and head together.

    Parameter names are `backbone.<path in the network>` and `head.<path in the head>`; each has one owner: a stage or "head".

    Attributes:
        origin: What was taken from the run that training begins from, in words; "" = it begins from no run.
    """

    origin: str = ""

    def __init__(self, backbone: Backbone, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.owner: dict[str, str] = {}
        self.find_owners()

    def forward(self, batch: Mapping[str, Tensor]) -> Features:
        """Features of one prepared batch, as the head gathers them."""
        return self.head.gather(self.backbone(batch))

    def find_owners(self) -> None:
        """Give every parameter its owner anew; after a strategy put modules of its own into the network (adapters)."""
        stage_of = owners(self.backbone.network, self.backbone.stages)
        self.owner = {f"backbone.{name}": stage for name, stage in stage_of.items()}
        self.owner.update({name: HEAD for name, _ in _prefixed(HEAD, self.head.named_parameters())})

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the backbone's stages, input to output."""
        return tuple(stage.name for stage in self.backbone.stages)

    def weights(self) -> dict[str, nn.Parameter]:
        """Every parameter by name; tied ones once."""
        named = {**dict(_prefixed("backbone", self.backbone.network.named_parameters()))}
        named.update(_prefixed(HEAD, self.head.named_parameters()))
        return named

    def state(self) -> dict[str, Tensor]:
        """Every parameter and buffer by name, detached, sharing storage."""
        tensors: dict[str, Tensor] = {name: weight.detach() for name, weight in self.weights().items()}
        tensors.update(_prefixed("backbone", self.backbone.network.named_buffers()))
        tensors.update(_prefixed(HEAD, self.head.named_buffers()))
        return tensors

    def select(self, groups: Sequence[Group]) -> list[dict[str, nn.Parameter]]:
        """The parameters of each group; a parameter goes to the first group that claims it.

        Raises:
            UsageError: A selector matches no parameter at all, or a group is left with none.
        """
        pool = self.weights()
        every = tuple(pool)
        chosen: list[dict[str, nn.Parameter]] = []
        for group in groups:
            names = [name for pattern in group.select for name in self._matching(pattern, every)]
            claimed = {name: pool.pop(name) for name in dict.fromkeys(names) if name in pool}
            if not claimed:
                raise UsageError(f"the group {list(group.select)} has no parameters left: earlier groups claim them all")
            chosen.append(claimed)
        return chosen

    def _matching(self, pattern: str, every: Sequence[str]) -> list[str]:
        if pattern in self.owner and pattern in every:  # a parameter's own name
            return [pattern]
        names = [name for name in every if self._matches(name, pattern)]
        if not names:
            known = (HEAD, "backbone", *self.stage_names)
            close = get_close_matches(pattern, known, n=1)
            hint = f"did you mean '{close[0]}'? " if close else ""
            raise UsageError(
                f"the selector '{pattern}' matches no parameter; {hint}known: {', '.join(known)}, or a glob over names"
            )
        return names

    def _matches(self, name: str, pattern: str) -> bool:
        if pattern == "backbone":
            return name.startswith("backbone.")
        return self.owner.get(name) == pattern or fnmatchcase(name, pattern)


T = TypeVar("T")


def _prefixed(prefix: str, pairs: Iterator[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    return ((f"{prefix}.{name}", value) for name, value in pairs)
