"""`headstart schema` and `cp`: recipes for editors and for changing."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
def schema(output: Path | None) -> None:
    """Print the JSON Schema of recipes for the installed parts.

    An editor completes and checks with it where the recipe's first line is: # yaml-language-server: $schema=recipe.schema.json
    """
    from headstart.files import writing
    from headstart.schema import recipe_schema

    text = json.dumps(recipe_schema(), indent=1)
    if output is None:
        click.echo(text)
        return
    with writing(output):
        output.write_text(f"{text}\n", encoding="utf-8")
    click.echo(f"{output}: put '# yaml-language-server: $schema={output}' on the first line of a recipe", err=True)


@click.command()
@click.argument("recipe")
@click.argument("target", type=click.Path(path_type=Path), default=Path())
@click.option("--force", is_flag=True, help="Write over a file that exists.")
def cp(recipe: str, target: Path, force: bool) -> None:
    """Copy RECIPE, a file or a name out of `headstart list recipes`, to TARGET (here), to change it.

    Relative places in it are changed so that they lead to the same files.
    """
    from headstart.errors import UsageError
    from headstart.files import writing
    from headstart.recipe_copy import copied_text
    from headstart.recipe_file import find_recipe

    source = find_recipe(recipe)
    path = target / source.name if target.is_dir() else target
    if path.exists() and not force:
        raise UsageError(f"{path} exists; name another target, or write over it with --force")
    text = copied_text(source, path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    click.echo(str(path))
