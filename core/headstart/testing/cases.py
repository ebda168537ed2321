"""Cases: a part, with the options, inputs and targets that the checks run it with. Making one imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from headstart.example import Target

BINARY = Target("class", ("no", "yes"))


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """What all cases have.

    Attributes:
        use: The registered name, or the class itself while it is not registered.
        known: Check -> why it is known to fail. A reason is a whole sentence; where such a check passes, that is a failure.
        exempt: Why no check can run on it; "" = all do.
        slow: Why it takes longer than about ten seconds; "" = it does not. `headstart plugins test --quick` leaves it out.
    """

    kind: ClassVar[str] = ""
    use: str | type[Any]
    known: Mapping[str, str] = field(default_factory=dict)
    exempt: str = ""
    slow: str = ""

    @property
    def name(self) -> str:
        """For messages and for names of tests."""
        return self.use if isinstance(self.use, str) else self.use.__name__

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False, kw_only=True)
class BackboneCase(Case):
    """A backbone.

    Attributes:
        options: As small as the part allows, so that the checks are quick.
        inputs: A function that makes at least three raw inputs of different content (and size, where sizes differ); None =
            the kit's samples of its modality (`headstart.testing.samples`).
        smallest: A function that makes the smallest inputs that may come: an empty text, a picture of one pixel.
    """

    kind: ClassVar[str] = "backbone"
    options: Mapping[str, Any] = field(default_factory=dict)
    inputs: Callable[[], Sequence[Any]] | None = None
    smallest: Callable[[], Sequence[Any]] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class HeadCase(Case):
    """A head.

    Attributes:
        options: The recipe's options.
        target: What it learns; None = the first of its `kinds` that the kit knows: class, labels, number.
        targets: At least four targets, for features in this order; None = made for `target`.
        features: A function that makes as many features; None = random ones for the usual names of ports.
        ports: Channels of the ports; None = 8 for each that it needs.
        backbone: The network that it is joined to, where it asks one for more than its ports (words of a vocabulary, say);
            ports and features are then that network's, of the case's inputs. None = a stand-in.
    """

    kind: ClassVar[str] = "head"
    options: Mapping[str, Any] = field(default_factory=dict)
    target: Target | None = None
    targets: Sequence[Any] | None = None
    features: Callable[[], Mapping[str, Any]] | None = None
    ports: Mapping[str, int] | None = None
    backbone: BackboneCase | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class StrategyCase(Case):
    """A strategy.

    Attributes:
        options: The recipe's options, with few epochs.
    """

    kind: ClassVar[str] = "strategy"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class DataCase(Case):
    """A data part.

    Attributes:
        options: The options, or a function that writes small files into a folder and returns the options that read them.
        source: A function of the same folder that gives one new input for `read`; None = `read` is not tried.
    """

    kind: ClassVar[str] = "data"
    options: Mapping[str, Any] | Callable[[Path], Mapping[str, Any]] = field(default_factory=dict)
    source: Callable[[Path], Any] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class PluginCase(Case):
    """A plugin as a whole, by the name of its entry point or its distribution."""

    kind: ClassVar[str] = "plugin"
    use: str
