"""A run: the folder that holds everything, while it is being written and after."""

from __future__ import annotations

import os
import platform
import secrets
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from headstart.credentials import without_credentials
from headstart.errors import MissingError, RecipeError, UsageError
from headstart.example import Example
from headstart.files import read_json, write_json, write_text
from headstart.head import Prediction
from headstart.installed import installed_version
from headstart.lock_section import Lock, lock_text
from headstart.model import Model
from headstart.recipe import Recipe

LATEST = "latest"
LOCK = "recipe.lock.yaml"


def create_folder(out: Path, recipe: Recipe) -> Path:
    """Make a new, uniquely named folder for a run under `out`; nothing is ever overwritten.

    Raises:
        UsageError: There can be no folder under `out`.
    """
    stamp = datetime.now().strftime("%Y-%m-%d_%H%M")
    folder = out / f"{stamp}-{recipe.name}-{recipe.strategy.use.replace('/', '-')}-{secrets.token_hex(3)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UsageError(
            f"cannot make a folder for the run under '{out}' ({error.strerror}); name another with --out"
        ) from error
    return folder


def point_latest(folder: Path) -> None:
    """Let `latest` beside the run lead to it (a relative symbolic link, replaced whole), where links can be made and no
    folder has that name: the link is a convenience, and no run shall fail for it.
    """
    temporary = folder.parent / f".{LATEST}.{os.getpid()}"
    with suppress(OSError):
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(folder.name)
        temporary.replace(folder.parent / LATEST)
    with suppress(OSError):
        temporary.unlink(missing_ok=True)


def environment() -> dict[str, Any]:
    """Versions and machine, for `env.json`: no user name, no host name, no paths."""
    import torch

    names = (
        "headstart",
        "headstart-nlp",
        "headstart-vision",
        "headstart-healthcare",
        "torch",
        "transformers",
        "scikit-learn",
        "numpy",
    )
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": {name: version for name in names if (version := installed_version(name))},
    }


def plugin_versions() -> dict[str, str]:
    """The plugins that work here: name -> distribution and version, or the name of the file that `--plugin` gave."""
    from headstart.plugins import registry

    sound = [record for record in registry().records if record.error is None]
    return {record.name: record.title if record.version else Path(record.distribution).name for record in sound}


def write_recipe(folder: Path, recipe: Recipe, lock: Lock) -> None:
    """The recipe as it was given, comments kept, and resolved with every default and absolute path, and what it is run on."""
    from headstart.recipe_file import dump_recipe

    resolved = dump_recipe(recipe)
    given = recipe.file.read_text(encoding="utf-8-sig") if recipe.file else resolved
    overrides = "".join(f"# --set {override}\n" for override in recipe.overrides)
    write_text(folder / "recipe.yaml", given + overrides)
    write_text(folder / LOCK, resolved + lock_text(lock))
    write_json(folder / "env.json", {**environment(), "plugins": plugin_versions()})


def begun_with(folder: Path, fingerprint: str) -> dict[str, Any]:
    """What has to be the same when the run goes on: the recipe, resolved, and the data; and the versions, to be told."""
    lock = (folder / LOCK).read_text(encoding="utf-8")
    return {"recipe": lock, "data": fingerprint, "versions": environment()["versions"]}


@dataclass(frozen=True)
class Run:
    """A finished run; it loads, predicts and evaluates by itself."""

    folder: Path

    @cached_property
    def recipe(self) -> Recipe:
        """The resolved recipe.

        Raises:
            MissingError: The run was made with a plugin that is not here. RecipeError: The lock file was changed.
        """
        try:
            return Recipe.load(self.folder / LOCK)
        except RecipeError as error:
            if absent := self._absent_plugins():
                faults = "; ".join(problem.message for problem in error.problems)
                raise MissingError(f"{self.folder}: {faults}; this run was made with {' and '.join(absent)}") from error
            raise

    def _absent_plugins(self) -> list[str]:
        """What brings each plugin that the run was made with and that does not work here."""
        path = self.folder / "env.json"
        recorded: Mapping[str, str] = read_json(path).get("plugins", {}) if path.exists() else {}
        absent = [(name, source) for name, source in recorded.items() if name not in plugin_versions()]
        return [
            f"the plugin '{name}': headstart --plugin {source} ..."
            if source.endswith(".py")
            else f"the plugin '{name}': pip install {source.partition(' ')[0]}"
            for name, source in absent
        ]

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        """What `metrics.json` holds."""
        metrics: Mapping[str, Any] = read_json(self.folder / "metrics.json")
        return metrics

    @cached_property
    def model(self) -> Model:
        """The trained model, loaded on first use, every file checked against its hash."""
        from headstart.checkpoint import load_model

        return load_model(self.recipe, self.folder / "model")

    def predict(self, inputs: Sequence[Any]) -> list[Prediction]:
        """Predictions for new raw inputs (texts, paths ...), in their order, read as the training data was."""
        from headstart.build import make_data

        data = make_data(self.recipe.data)
        return self.predict_examples([Example(str(index), data.read(source)) for index, source in enumerate(inputs)])

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        """Predictions for examples that are read already."""
        from headstart.infer import infer

        return infer(self, examples)

    def evaluate(self, source: str | Path) -> dict[str, Any]:
        """Scores with intervals on another labelled file or folder of the same form; nothing is fitted to it."""
        from headstart.infer import evaluate

        return evaluate(self, Path(source))

    def report(self) -> Path:
        """Write `report.html` anew and return its path."""
        from headstart.report.page import write_report
        from headstart.run_files import drawn_from

        with drawn_from(self.folder):
            return write_report(self.folder)


def load(folder: str | Path) -> Run:
    """Open a finished run.

    Raises:
        UsageError: The folder is no run, or the run did not finish.
    """
    path = Path(folder).expanduser().resolve()
    if not (path / "recipe.lock.yaml").exists():
        raise UsageError(f"{folder}: not a run (no recipe.lock.yaml); runs are folders like runs/latest")
    if not (path / "metrics.json").exists():
        raise UsageError(f"{folder}: this run did not finish (no metrics.json); see its events.jsonl{_resumable(path)}")
    return Run(path)


def _resumable(path: Path) -> str:
    is_kept = (path / "checkpoints" / "run.json").exists()
    return f", or let it go on: headstart run --resume {path}" if is_kept else ""


def command_line() -> str:
    """The command that started this process, as a person would type it."""
    return without_credentials(" ".join(["headstart", *sys.argv[1:]]))
