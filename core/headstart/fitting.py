"""Fitting: whether the four parts of a recipe go together, from what their classes say, before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from headstart.components import Kind
from headstart.options import PartDescription, read_statically
from headstart.plugins import registry
from headstart.source import UnreadableError

Parts = Mapping[Kind, PartDescription]
PROBE = "probe"  # the strategy that needs no gradient in the head


@dataclass(frozen=True)
class Misfit:
    """Two parts that do not go together; `section` is the one to change."""

    section: Kind
    message: str
    hint: str


def misfits(parts: Parts, options: Mapping[Kind, Mapping[str, Any]]) -> list[Misfit]:
    """Every pair of parts that do not fit; parts that are absent, or do not say it statically, are passed over.

    Args:
        parts: The described parts by kind.
        options: Their options as given. Where data has an option `kind` that chooses among its `target_kinds`, it counts.
    """
    return [
        *_modality(parts),
        *_ports(parts, options.get("head", {})),
        *_target(parts, options.get("data", {})),
        *_gradient(parts),
    ]


def _modality(parts: Parts) -> Iterator[Misfit]:
    given, read = _attribute(parts, "data", "modality"), _attribute(parts, "backbone", "modality")
    if given and read and given != read:
        message = f"{_name(parts, 'backbone')} reads {read}, {_name(parts, 'data')} gives {given}"
        yield Misfit("backbone", message, _others("backbone", lambda part: part.attributes.get("modality") == given))


def ports_read(needs: Sequence[str], given: Mapping[str, Any]) -> tuple[str, ...]:
    """Ports that a head with these options reads: those of its option `reads` where it has one (`joined`), else its `needs`."""
    reads = given.get("reads", needs)
    return (reads,) if isinstance(reads, str) else tuple(reads)


def _ports(parts: Parts, given: Mapping[str, Any]) -> Iterator[Misfit]:
    needs, ports = _attribute(parts, "head", "needs"), _attribute(parts, "backbone", "port_names")
    needs = needs and ports_read(needs, given)
    if needs and ports and not set(needs) <= set(ports):
        missing = ", ".join(port for port in needs if port not in ports)
        message = f"{_name(parts, 'head')} needs the port {missing}, {_name(parts, 'backbone')} gives {', '.join(ports)}"
        yield Misfit("head", message, _others("head", lambda part: set(part.attributes.get("needs", ("?",))) <= set(ports)))


def _target(parts: Parts, given: Mapping[str, Any]) -> Iterator[Misfit]:
    learns, gives = _attribute(parts, "head", "kinds"), _attribute(parts, "data", "target_kinds")
    if not learns or not gives:
        return
    chosen = _chosen_kind(parts["data"], given, gives)
    if not set(learns) & set(chosen):
        message = f"{_name(parts, 'head')} predicts {' or '.join(learns)}, {_name(parts, 'data')} gives {' or '.join(chosen)}"
        other = next((kind for kind in learns if kind in gives), None)
        switch = f"set data.kind to '{other}', or use another head: " if other else ""
        yield Misfit(
            "head", message, switch + _others("head", lambda part: bool(set(part.attributes.get("kinds", ())) & set(chosen)))
        )


def _gradient(parts: Parts) -> Iterator[Misfit]:
    strategy = parts.get("strategy")
    if strategy and strategy.component.name != PROBE and _attribute(parts, "head", "by_gradient") is False:
        message = f"{_name(parts, 'head')} is not trained by gradient, so {_name(parts, 'strategy')} cannot train through it"
        yield Misfit("strategy", message, f"use '{PROBE}', or a head that is trained by gradient")


def _chosen_kind(data: PartDescription, given: Mapping[str, Any], kinds: tuple[str, ...]) -> tuple[str, ...]:
    option = data.option("kind")
    if option is None or get_origin(option.type) is not Literal or not set(get_args(option.type)) <= set(kinds):
        return kinds
    chosen = given.get("kind", option.default)
    return (chosen,) if chosen in kinds else kinds


def _attribute(parts: Parts, kind: Kind, name: str) -> Any:
    return parts[kind].attributes.get(name) if kind in parts else None


def _name(parts: Parts, kind: Kind) -> str:
    return f"{kind} '{parts[kind].component.name}'"


def _others(kind: Kind, fits: Callable[[PartDescription], bool]) -> str:
    """Names of the parts that would fit."""
    names = [name for name, offers in registry().offers(kind).items() if _is_true(offers[0][1], fits)]
    return f"{kind}s that fit: {', '.join(names)}" if names else f"no installed {kind} fits"


def _is_true(component: Any, fits: Callable[[PartDescription], bool]) -> bool:
    try:
        return fits(read_statically(component))
    except UnreadableError:
        return False
