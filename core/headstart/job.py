"""A job: a recipe that is built and checked, with its data divided; everything that is known before a run has a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from headstart.build import Built, build
from headstart.data import Data
from headstart.device import Compute, choose
from headstart.evaluating import Evaluating, evaluating
from headstart.events import Tell
from headstart.example import Example
from headstart.forecast import warnings_of
from headstart.place import naming_folders
from headstart.ranks import Ranks
from headstart.recipe import Recipe
from headstart.scratch_baseline import check_scratch
from headstart.share import Shared, share_out
from headstart.shared_check import check_together
from headstart.stopping import Stop


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Attributes:
        recipe: With what the data part pinned.
        stop: Knows of signals.
        ranks: The processes that do it together.
    """

    recipe: Recipe
    built: Built
    compute: Compute
    evaluations: Evaluating
    shared: Shared
    stop: Stop
    ranks: Ranks = field(default_factory=Ranks)

    def introduce(self, folder: Path, tell: Tell) -> None:
        """Write down the division of the data, and tell what there is to know before training; once for each run."""
        if (folder / "data.json").exists():
            return
        examples = self.shared.used()
        self.shared.write(folder, tell)
        tell_cut(self.built, examples, tell)
        for message in warnings_of(self.recipe, self.built, examples):
            tell("warning", message=message)

    def fingerprint(self) -> str:
        """Of the examples (ids, targets, groups, texts) and their division: SHA-256, in hexadecimal."""
        digest = sha256()
        for number, parts in self.shared.rounds():
            for split, examples in parts.items():
                digest.update(f"{number} {split} {len(examples)}\n".encode())
                for example in examples:
                    text = example.input if isinstance(example.input, str) else ""
                    digest.update(repr((example.id, example.target, example.group, text)).encode())
        return digest.hexdigest()


def make_job(recipe: Recipe, *, data: Data | None = None, stop: Stop | None = None, ranks: Ranks | None = None) -> Job:
    """Build and check everything; nothing is written.

    Raises:
        UsageError: Parts do not fit. DataError: Data is unfit or leaks. MissingError: Weights or a package are absent.
    """
    compute = choose(recipe.train)
    with naming_folders(recipe):
        built = build(recipe, data=data)
    recipe = replace(recipe, data=replace(recipe.data, options={**recipe.data.options, **built.data.pinned()}))
    check_scratch(recipe, built.model)
    evaluations = evaluating(recipe, built.data, built.data.target)
    job = Job(recipe, built, compute, evaluations, share_out(recipe, built.data), stop or Stop(), ranks or Ranks())
    check_together(job)
    return job


def tell_cut(built: Built, examples: Sequence[Example], tell: Tell) -> None:
    """Tell how many inputs are too long for the backbone."""
    lost = built.model.backbone.lost_tokens([example.input for example in examples])
    if lost is not None and any(lost):
        tell("truncated", examples=sum(1 for count in lost if count), of=len(lost))
