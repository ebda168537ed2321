"""`headstart list` and `show`: what is installed and what it takes, without importing any of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from headstart.components import Kind
    from headstart.options import Option, PartDescription
    from headstart.plugins import Registry

KIND_OF: dict[str, Kind] = {
    "backbones": "backbone",
    "heads": "head",
    "strategies": "strategy",
    "data": "data",
    "evaluations": "evaluation",
}
ABOUT = {"modality": "input", "target_kinds": "targets", "port_names": "ports", "kinds": "predicts", "needs": "reads ports"}

as_json = click.option("--json", "is_json", is_flag=True, help="Print JSON.")


@click.command("list")
@click.argument("what", type=click.Choice([*KIND_OF, "recipes"]), required=False)
@as_json
def list_(what: str | None, is_json: bool) -> None:
    """List backbones, heads, strategies, data, evaluations or recipes; all of them without an argument."""
    from headstart.plugins import registry

    found = {name: _listed(registry(), name) for name in ([what] if what else [*KIND_OF, "recipes"])}
    if is_json:
        click.echo(json.dumps(found[what] if what else found, indent=1))
        return
    for name, rows in found.items():
        if not what:
            click.echo(f"{name}:")
        table = [[row["name"], _size(row.get("megabytes", 0)), row["summary"]] for row in rows]
        click.echo("\n".join(aligned(table, indent=0 if what else 2)) or f"  no {name}")


def _listed(registry: Registry, what: str) -> list[dict[str, Any]]:
    if what == "recipes":
        return [{"name": name, "summary": _opening(path), "path": str(path)} for name, path in registry.recipes().items()]
    return [
        {
            "name": name,
            "summary": component.summary,
            "distribution": record.distribution,
            "licence": component.licence,
            "megabytes": component.megabytes,
        }
        for name, offers in registry.offers(KIND_OF[what]).items()
        for record, component in offers
    ]


def _opening(path: Path) -> str:
    """The first comment of a recipe that says something to people."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            text = line.lstrip("#").strip()
            if line.startswith("#") and text and not text.startswith(("yaml-language-server", "$schema")):
                return text
    return ""


@click.command()
@click.argument("name")
@as_json
def show(name: str, is_json: bool) -> None:
    """Show one part with its options, or one recipe; a name that several kinds have shows them all."""
    from headstart.components import KINDS
    from headstart.options import describe
    from headstart.plugins import registry

    recipe = registry().recipes().get(name)
    parts = [(kind, describe(registry().find(kind, name))) for kind in KINDS if name in registry().names(kind)]
    if not parts and recipe is None:
        raise _absence(registry(), name)
    if is_json:
        shown: list[dict[str, Any]] = [_as_json(kind, part) for kind, part in parts]
        shown += [{"kind": "recipe", "name": name, "path": str(recipe), "text": _text(recipe)}] if recipe else []
        click.echo(json.dumps(shown[0] if len(shown) == 1 else shown, indent=1))
        return
    for kind, part in parts:
        click.echo("\n".join(_page(kind, part)) + "\n")
    if recipe:
        click.echo(f"# {recipe}\n{_text(recipe)}")


def _text(recipe: Path) -> str:
    return recipe.read_text(encoding="utf-8-sig", errors="replace")


def _absence(registry: Registry, name: str) -> Exception:
    """The most telling of the errors that the kinds give for a name that none has."""
    from headstart.components import KINDS
    from headstart.errors import HeadstartError, MissingError
    from headstart.plugins import UnknownNameError, nearest

    for kind in KINDS:
        try:
            registry.find(kind, name)
        except MissingError as error:
            return error
        except HeadstartError:
            continue
    known = [*(each for kind in KINDS for each in registry.names(kind)), *registry.recipes()]
    return UnknownNameError("part or recipe", name, nearest(name, known))


def _page(kind: str, part: PartDescription) -> Iterator[str]:
    component = part.component
    yield f"{component.name}  ({kind}, {component.target})"
    yield ""
    yield part.docstring or component.summary
    yield ""
    yield from aligned([[label, value] for label, value in _facts(part)])
    yield from ("", "options:") if part.options else ("", "no options")
    for option in part.options:
        yield f"  {option.name}: {option.annotation}{' (required)' if option.required else f' = {_default(option)}'}"
        if option.help:
            yield from _wrapped(option.help)


def _facts(part: PartDescription) -> Iterator[tuple[str, str]]:
    for name, label in ABOUT.items():
        if value := part.attributes.get(name):
            yield label, value if isinstance(value, str) else ", ".join(value)
    if "by_gradient" in part.attributes:
        yield "trained by", "gradient" if part.attributes["by_gradient"] else "one fit on the features of a frozen backbone"
    if "port_names" in part.attributes:
        yield "stages", "found when the weights are read; `headstart run` writes them into ledger.json"
    if part.component.licence:
        yield "weights", f"{part.component.licence}, {_size(part.component.megabytes)}"
    if part.component.requires:
        yield "needs", f"pip install {' '.join(part.component.requires)}"


def _as_json(kind: str, part: PartDescription) -> dict[str, Any]:
    component = part.component
    return {
        "kind": kind,
        "name": component.name,
        "target": component.target,
        "summary": component.summary,
        "docstring": part.docstring,
        "licence": component.licence,
        "megabytes": component.megabytes,
        "requires": list(component.requires),
        "attributes": dict(part.attributes),
        "options": [
            {
                "name": option.name,
                "type": option.annotation,
                "required": option.required,
                "default": option.default,
                "help": option.help,
            }
            for option in part.options
        ],
    }


def aligned(rows: Sequence[Sequence[str]], indent: int = 0) -> Iterator[str]:
    """Rows with columns of equal width, the last one as it is; empty columns are left out."""
    columns = [column for column in zip(*rows, strict=True) if any(column)]
    widths = [max(map(len, column)) for column in columns]
    for row in zip(*columns, strict=True):
        yield " " * indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _wrapped(text: str) -> list[str]:
    return click.wrap_text(text, width=100, initial_indent="      ", subsequent_indent="      ").splitlines()


def _default(option: Option) -> str:
    return json.dumps(option.default) if isinstance(option.default, (str, bool, type(None))) else str(option.default)


def _size(megabytes: float) -> str:
    return f"{megabytes:g} MB" if megabytes else ""
