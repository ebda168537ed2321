"""`headstart reveal`: which file or patient a pseudonym stands for, for whoever holds the data and the key."""

from __future__ import annotations

import click


@click.command()
@click.argument("recipe")
@click.argument("pseudonyms", nargs=-1, required=True)
def reveal(recipe: str, pseudonyms: tuple[str, ...]) -> None:
    """Print the file or patient behind PSEUDONYMS (scan-..., patient-...) of the data that RECIPE names.

    Needs the data and the key that the pseudonyms were made with. Exit code 3: one of them stands for nothing there.
    """
    from headstart.errors import DataError, UsageError
    from headstart.recipe import Recipe
    from headstart.trial import make_parts
    from headstart_healthcare.data.clinical_data import ClinicalData

    data = make_parts(Recipe.load(recipe), ("data",))[0]
    if not isinstance(data, ClinicalData):
        raise UsageError(f"{recipe}: its data have no pseudonyms")
    known = data.revealed()
    absent = [name for name in pseudonyms if name not in known]
    for name in pseudonyms:
        if name in known:
            click.echo(f"{name}\t{known[name]}")
    if absent:
        raise DataError(f"{', '.join(absent)}: no such pseudonym in these data; the key may be another one")
