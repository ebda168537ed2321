"""The files of a run folder, read as plain data and without torch; one that is missing is empty, not an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from headstart.errors import DataError, HeadstartError, UsageError
from headstart.predictions import SavedOutcome, read_predictions

RUN = "run"
RESTORE = "restore it from a copy of the run"


@dataclass(frozen=True)
class RunFiles:
    """A run folder. Each property reads its file once."""

    folder: Path

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """`metrics.json`: scores with intervals of the run and its baselines."""
        return self._json("metrics.json")

    @cached_property
    def ledger(self) -> dict[str, Any]:
        """`ledger.json`: what trained when, how fast, and the proof of what did not."""
        return self._json("ledger.json")

    @cached_property
    def split(self) -> dict[str, Any]:
        """`split.json`: ids of each split."""
        return self._json("split.json")

    @cached_property
    def data(self) -> dict[str, Any]:
        """`data.json`: facts, counts per class and split, groups and the audit."""
        return self._json("data.json")

    @cached_property
    def env(self) -> dict[str, Any]:
        """`env.json`: versions, device, command."""
        return self._json("env.json")

    @cached_property
    def epochs(self) -> list[dict[str, Any]]:
        """`metrics.jsonl`: one record per epoch."""
        return self._json_lines("metrics.jsonl")

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """`events.jsonl`: what happened, in order."""
        return self._json_lines("events.jsonl")

    @cached_property
    def lock(self) -> dict[str, Any]:
        """`recipe.lock.yaml`: the recipe with every default filled in; `recipe.yaml` where there is none."""
        return {key: value for key, value in self._locked.items() if key != "lock"}

    @cached_property
    def made_from(self) -> dict[str, Any]:
        """The section `lock` of `recipe.lock.yaml`: digests of data, split and weights, versions, seeds, device."""
        found: dict[str, Any] = self._locked.get("lock") or {}
        return found

    @cached_property
    def _locked(self) -> dict[str, Any]:
        for name in ("recipe.lock.yaml", "recipe.yaml"):
            if text := self.text(name):
                return self._yaml(name, text)
        return {}

    def _yaml(self, name: str, text: str) -> dict[str, Any]:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        try:
            loaded = YAML(typ="safe").load(text)
        except (YAMLError, ValueError, RecursionError) as error:
            raise DataError(f"{self.folder / name}: broken YAML ({str(error).splitlines()[0]}); {RESTORE}") from error
        return loaded if isinstance(loaded, dict) else {}

    @cached_property
    def outcomes(self) -> list[SavedOutcome]:
        """`predictions.parquet`."""
        path = self.folder / "predictions.parquet"
        return read_predictions(path) if path.exists() else []

    def outcome(self, model: str = RUN, split: str = "test") -> SavedOutcome | None:
        """A model's predictions of a split, those of all folds together; None where there are none."""
        parts = [outcome for outcome in self.outcomes if (outcome.model, outcome.split) == (model, split)]
        if len(parts) <= 1:
            return parts[0] if parts else None
        examples = [example for part in parts for example in part.examples]
        return SavedOutcome(model, split, -1, examples, [prediction for part in parts for prediction in part.predictions])

    def text(self, name: str) -> str:
        """Contents of a text file of the folder, "" where it is missing.

        Raises:
            DataError: It is no text any more.
        """
        path = self.folder / name
        try:
            return path.read_text(encoding="utf-8") if path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read as text ({error}); {RESTORE}") from error

    def _json(self, name: str) -> dict[str, Any]:
        text = self.text(name)
        try:
            loaded = json.loads(text) if text else {}
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.folder / name}: broken JSON ({error}); {RESTORE}") from error
        return loaded if isinstance(loaded, dict) else {}

    def _json_lines(self, name: str) -> list[dict[str, Any]]:
        """A killed run may leave its last line half written: what follows the last whole line is dropped."""
        records = []
        for line in self.text(name).splitlines():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                break
            if not isinstance(record, dict):
                break
            records.append(record)
        return records


@contextmanager
def drawn_from(*folders: Path) -> Iterator[None]:
    """Around drawing something from the files of finished runs.

    Raises:
        DataError: They are no longer what headstart wrote: a key is missing, a number is a text.
    """
    try:
        yield
    except (HeadstartError, OSError):
        raise
    except Exception as error:  # each library fails in its own way on what it does not expect
        raise DataError(
            f"{' or '.join(map(str, folders))}: a file does not hold what belongs there ({type(error).__name__}: {error}); "
            f"if one was changed or damaged, {RESTORE}; if none was, this is a fault of headstart: --debug shows where"
        ) from error


def open_run(path: str | Path) -> RunFiles:
    """The finished run at `path`: its folder, or a link such as `runs/latest`.

    Raises:
        UsageError: There is no folder, it holds no run, or the run did not finish.
    """
    folder = Path(path).resolve()
    if not folder.is_dir():
        raise UsageError(f"no run at '{path}'; {_known(Path(path).parent)}")
    if not any((folder / name).exists() for name in ("metrics.json", "predictions.parquet", "recipe.yaml")):
        raise UsageError(f"'{path}' holds no run (no metrics.json, predictions.parquet or recipe.yaml); {_known(folder)}")
    if not (folder / "metrics.json").exists():
        raise UsageError(f"'{path}': this run did not finish (no metrics.json); see its events.jsonl")
    return RunFiles(folder)


def _known(parent: Path) -> str:
    runs = sorted(item.parent.name for item in parent.glob("*/recipe.yaml"))
    return f"runs in '{parent}': {', '.join(runs[-5:])}" if runs else f"there are no runs in '{parent}'"
