"""`headstart init`: look at data and write a first recipe for them."""

from __future__ import annotations

import json
from pathlib import Path

import click

SCHEMA = "recipe.schema.json"
PICTURE_DATA = "vision/folder"  # the part that reads a tree of class folders


@click.command()
@click.argument("data")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("recipe.yaml"), help="Write to this file."
)
@click.option("--text", help="Column of the text, if the guess is wrong.")
@click.option("--label", help="Column of the label, if the guess is wrong.")
@click.option("--group", help="Column of the patient, author ...: never in two splits.")
@click.option("--schema", is_flag=True, help=f"Also write {SCHEMA} beside it, so that an editor completes and checks.")
@click.option("--force", is_flag=True, help="Write over a file that exists.")
def init(data: str, *, output: Path, text: str | None, label: str | None, group: str | None, schema: bool, force: bool) -> None:
    """Look at DATA and write a commented recipe for it.

    DATA is a csv, tsv, jsonl or parquet file, or a tree of class folders. What was seen goes to stderr, the recipe's path to
    stdout.
    """
    from headstart.errors import UsageError
    from headstart.files import writing
    from headstart.place import locate

    if output.exists() and not force:
        raise UsageError(f"{output} exists; name another file with -o, or write over it with --force")
    content = _pictures(data, output) if locate(data).is_dir() else _table(data, output, text=text, label=label, group=group)
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(_with_schema(output, force=force) + content if schema else content, encoding="utf-8")
    click.echo(str(output))


def _table(data: str, output: Path, *, text: str | None, label: str | None, group: str | None) -> str:
    from headstart.draft import draft_recipe
    from headstart.plugins import registry

    registry().find("backbone", "nlp/encoder")  # without it the recipe could not run: the error says what to install
    draft = draft_recipe(data, output, text=text, label=label, group=group)
    for finding in draft.findings:
        click.echo(str(finding), err=True)
    return draft.text


def _pictures(data: str, output: Path) -> str:
    from headstart.draft import picture_recipe
    from headstart.errors import MissingError
    from headstart.folders import look_at_tree
    from headstart.place import locate
    from headstart.plugins import registry

    for line in look_at_tree(locate(data)).lines():
        click.echo(line, err=True)
    backbones = [name for name in registry().names("backbone") if name.startswith("vision/")]
    if PICTURE_DATA not in registry().names("data") or not backbones:
        raise MissingError(
            f"{data} is a tree of pictures; reading it needs a plugin that offers the data part '{PICTURE_DATA}', "
            "and none is installed; it belongs to headstart-vision: pip install headstart-vision"
        )
    return picture_recipe(data, output, backbones)


def _with_schema(output: Path, *, force: bool) -> str:
    from headstart.errors import UsageError
    from headstart.schema import recipe_schema

    path = output.parent / SCHEMA
    if path.exists() and not force:
        raise UsageError(f"{path} exists; write over it with --force")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(recipe_schema(), indent=1) + "\n", encoding="utf-8")
    return f"# yaml-language-server: $schema={SCHEMA}\n"
