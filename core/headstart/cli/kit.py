"""`headstart cache fetch` and `headstart cache import`: what a machine without a network needs, carried there in one file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from headstart.kit import Entry


@click.command("fetch")
@click.argument("recipes", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--to", "target", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file to write: kit.zip."
)
@click.option("--with-data", is_flag=True, help="Pack the data that the recipes name, too.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change the recipes. Repeatable.")
def fetch(recipes: tuple[Path, ...], target: Path, *, with_data: bool, overrides: tuple[str, ...]) -> None:
    """Pack what RECIPES need into one file for a machine without a network: weights, the recipes, and data where asked.

    What is in the caches of this machine is taken from there, the rest is fetched.
    """
    from headstart.files import file_hash
    from headstart.kit import fetch_kit
    from headstart.recipe import Recipe

    manifest = fetch_kit([Recipe.load(path, overrides) for path in recipes], target, with_data=with_data)
    for line in _told(manifest.files):
        click.echo(line)
    if manifest.has_data:
        click.echo("the kit holds data, not encrypted: keep it as you keep them")
    for name in manifest.absent:
        click.echo(f"not in it: data {name}; --with-data packs it")
    digest = file_hash(target)
    click.echo(f"wrote   {target}, {_size(target.stat().st_size)}, sha256 {digest}")
    click.echo(f"next    carry it over, and there: headstart cache import {quote(target.name)} --sha256 {digest}")


@click.command("import")
@click.argument("kit", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for recipes and local files; default: the kit's name.",
)
@click.option(
    "--sha256", "digest", default="", metavar="DIGEST", help="What the kit's sha256 must be, as `cache fetch` told it."
)
def import_(kit: Path, into: Path | None, digest: str) -> None:
    """Put the files of KIT where they are looked for, after each was held to its hash; nothing is fetched."""
    from headstart.kit_import import import_kit
    from headstart.visible import visible

    found = import_kit(kit, into or Path(kit.stem), digest=digest)
    for line in _told(found.manifest.files):
        click.echo(visible(line))
    click.echo(f"{found.new} files are new, {found.kept} were there already; every hash is right")
    for name in found.manifest.absent:
        click.echo(visible(f"not in it: data {name}; name yours in the recipe, or with --set"))
    for name in found.manifest.recipes:
        click.echo(f"next    headstart --offline run {quote(str(found.folder / name))}")


def _told(entries: Iterable[Entry]) -> list[str]:
    """One line for each thing that recipes name: what, size, licence, and the hash of its largest file."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.what, entry.source), []).append(entry)
    lines = []
    for (what, source), found in groups.items():
        largest = max(found, key=lambda entry: entry.bytes)
        count = f"{len(found)} files, " if len(found) > 1 else ""
        licence = "" if what == "recipe" else f", licence {largest.licence}"
        lines.append(
            f"{what:<7} {source}: {count}{_size(sum(e.bytes for e in found))}{licence}, sha256 {largest.sha256[:12]}..."
        )
    return lines


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
