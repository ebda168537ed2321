"""The data part `hub`: a data set of the Hugging Face hub at one fixed revision, or a local folder in the same form."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from headstart.builtin.columns import Columns, check_rows, columns_of
from headstart.builtin.table import TextRows
from headstart.errors import DataError, MissingError, UsageError
from headstart.offline import is_offline
from headstart.place import PACKAGE, Place, locate
from headstart.quarantine import check_budget
from headstart.split import SPLITS, WORDS
from headstart.supplies import Supply, at_place, on_hub
from headstart.tables import Sheet, read_table, sheet_of_rows

COMMIT = re.compile(r"[0-9a-f]{40}")
PATTERNS = [
    f"*{suffix}" for suffix in (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".gz", ".zip", ".arrow", ".txt", "README.md")
]
JSON_LINES = (".jsonl", ".ndjson")

Rows = Mapping[str, Sequence[Any]]
Reading = Callable[[], Rows]


class Hub(TextRows):
    """Texts with labels from a data set of the Hugging Face hub, at one fixed revision.

    Code of the data set is never run. Once fetched, the same revision is found again offline.

    Args:
        dataset: Id on the hub ("stanfordnlp/imdb"), or a local folder in the hub's form (data files, README.md).
        revision: The commit, 40 hex digits; needed for an id, since branches and tags can be moved.
        config: Name of the data set's configuration (subset). None = its only one.
        splits: Which of its splits is our train, val and test: {"train": "train", "val": "validation"}. None = by their names.
        text: Column of the text, or several that are joined by line breaks. None = guessed and reported.
        label: Column of the label. None = guessed and reported.
        kind: What a label is: one "class" of several, a set of "labels", or a "number".
        label_separator: Between labels in one cell, for kind "labels"; lists are taken as they are.
        group: Column that says which rows belong together (patient, author): never in two splits.
        time: Column to sort by for a split by time.
        id: Column of unique ids. None = name of the split and row number.
        where: Keep only rows whose column equals the value, or is one of the values.
        names: New names of labels: {"0": "negative", "1": "positive"}.
        positive: Of two labels the one that counts as positive; by its new name.
        max_bad: Share of the rows that may be broken (of csv and JSON lines those that cannot be read, of all a label that is
            no number); they are left out and named. 0 = none may.
        rows: Use only that many rows, each class with its share. None = all.
        seed: Chooses the rows of `rows`.
    """

    modality = "text"
    target_kinds = ("class", "labels", "number")

    def __init__(
        self,
        *,
        dataset: Place,
        revision: str | None = None,
        config: str | None = None,
        splits: dict[str, str] | None = None,
        text: str | list[str] | None = None,
        label: str | None = None,
        kind: Literal["class", "labels", "number"] = "class",
        label_separator: str = "|",
        group: str | None = None,
        time: str | None = None,
        id: str | None = None,
        where: dict[str, str | list[str]] | None = None,
        names: dict[str, str] | None = None,
        positive: str | None = None,
        max_bad: float = 0.0,
        rows: int | None = None,
        seed: int = 0,
    ) -> None:
        check_rows(rows)
        check_budget(max_bad, "rows")
        self.max_bad = max_bad
        self.dataset, self.revision, self.config, self.splits = dataset, revision, config, splits
        self.columns = Columns(
            kind=kind,
            label=label,
            label_separator=label_separator,
            group=group,
            time=time,
            id=id,
            **columns_of(text, where, names),
        )
        self.positive, self.rows, self.seed = positive, rows, seed

    @classmethod
    def supplies(cls, options: Mapping[str, Any]) -> list[Supply]:
        """The data set, at its revision or from its folder."""
        dataset = options["dataset"]
        if dataset.startswith(PACKAGE) or locate(dataset).is_dir():
            return [at_place("data", dataset)]
        revision = _fixed(dataset, options["revision"])
        named = f"{dataset}@{revision}"
        return [on_hub(named, dataset, revision, what="data", patterns=PATTERNS, bring=lambda: _fetch(dataset, revision))]

    def sheets(self) -> list[tuple[Sheet, str | None]]:
        """One table per split of the data set that is train, val or test."""
        folder, facts = self._folder()
        found = _load(folder, self.config, self.dataset, self.bad)
        chosen = _chosen(found, self.splits, self.dataset)
        facts["left out"] = [name for name in found if name not in chosen.values()]
        is_split = len(chosen) > 1
        tables = {name: _table(theirs, found[theirs](), facts) for name, theirs in chosen.items()}
        return [(sheet, name if is_split else None) for name, sheet in tables.items()]

    def _folder(self) -> tuple[Path, dict[str, Any]]:
        place = locate(self.dataset)
        if self.dataset.startswith(PACKAGE) or place.is_dir():
            return place, {"dataset": self.dataset}
        revision = _fixed(self.dataset, self.revision)
        folder = _fetch(self.dataset, revision)
        return folder, {"dataset": self.dataset, "revision": revision, "commit": folder.name}


def _fixed(dataset: str, revision: str | None) -> str:
    """The revision, if it can stand still.

    Raises:
        UsageError: There is none, or it is a branch or a tag.
    """
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", dataset):
        raise UsageError(f"data.dataset: '{dataset}' is neither a folder here nor an id of the hub like 'stanfordnlp/imdb'")
    if revision is None or not COMMIT.fullmatch(revision):
        what = f"'{revision}' is no commit, and branches and tags can be moved" if revision else "it is not given"
        raise UsageError(
            f"data.revision: {what}; name the commit (40 hex digits), "
            f"see https://huggingface.co/datasets/{dataset}/commits/main"
        )
    return revision


def _fetch(dataset: str, revision: str) -> Path:
    """The folder of exactly this revision in the hub's cache, fetched if it is not there.

    Not `load_dataset(id, revision=...)`: where the hub cannot be reached, that takes any cached revision.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    line = f"hf download {dataset} --repo-type dataset --revision {revision}"
    try:
        return Path(
            snapshot_download(
                dataset, repo_type="dataset", revision=revision, allow_patterns=PATTERNS, local_files_only=is_offline()
            )
        )
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        if isinstance(error, HfHubHTTPError) and not isinstance(error, LocalEntryNotFoundError):
            raise MissingError(f"the hub does not give '{dataset}' at '{revision}': {_first_line(error)}") from error
        why = "offline was asked for" if is_offline() else "the hub cannot be reached"
        raise MissingError(
            f"the data set '{dataset}' at '{revision}' is not in the cache and {why}; with a network, fetch it with: {line}"
        ) from error


def _load(folder: Path, config: str | None, dataset: str, bad: dict[str, str] | None) -> dict[str, Reading]:
    """Split -> what reads its columns, ourselves or by `datasets`; class numbers become their names.

    `bad` gets the rows that cannot be read, by file and line, with the reason; None = the first one is an error.
    """
    with TemporaryDirectory(prefix="headstart-") as cache, _quiet():
        import datasets

        try:
            builder = datasets.load_dataset_builder(str(folder), config, cache_dir=cache)
            files = _own_files(builder)
            if files is not None:
                return {split: partial(_own_rows, paths, builder.info.features, bad) for split, paths in files.items()}
            loaded = datasets.load_dataset(str(folder), config, cache_dir=cache, keep_in_memory=True)
            return {str(split): partial(_loaded_rows, part) for split, part in loaded.items()}
        except (ValueError, OSError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            raise DataError(f"the data set '{dataset}' cannot be read: {_first_line(error)}") from error


def _own_files(builder: Any) -> dict[str, list[Path]] | None:
    """Files of each split where they are csv or lines of JSON.

    `datasets` turns NA into nothing and 007 into 7, and one broken row is the end; our own reader does neither.
    """
    from datasets.packaged_modules.csv.csv import CsvConfig
    from datasets.packaged_modules.json.json import JsonConfig

    config = builder.config
    files = {str(split): [Path(path) for path in paths] for split, paths in (config.data_files or {}).items()}
    if isinstance(config, CsvConfig):
        return files
    is_plain = isinstance(config, JsonConfig) and config.field is None
    return files if is_plain and all(_is_lines(path) for paths in files.values() for path in paths) else None


def _is_lines(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(JSON_LINES)


def _own_rows(paths: Sequence[Path], features: Mapping[str, Any] | None, bad: dict[str, str] | None) -> Rows:
    """Columns of several files, one below the other; an object of JSON may lack a key, a csv no column of the first file."""
    sheets = [read_table(path, bad=bad) for path in paths]
    if _is_lines(paths[0]):
        names = dict.fromkeys(name for sheet in sheets for name in sheet.columns)
        parts = {name: [sheet.columns.get(name, [None] * len(sheet)) for sheet in sheets] for name in names}
    else:
        parts = {name: [sheet.column(name, "text") for sheet in sheets] for name in sheets[0].columns}
    return _named({name: list(chain.from_iterable(values)) for name, values in parts.items()}, features)


def _loaded_rows(part: Any) -> Rows:
    return _named(part.to_dict(), part.features)


def _named(rows: Rows, features: Mapping[str, Any] | None) -> Rows:
    """The rows with names in place of class numbers; -1, the hub's word for "not given", becomes nothing."""
    named = dict(rows)
    for column, feature in (features or {}).items():
        names = getattr(getattr(feature, "feature", feature), "names", None)
        if names and column in named:
            named[column] = [_name(value, names) for value in named[column]]
    return named


def _name(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, (list, tuple)):
        return [_name(item, names) for item in value]
    if value is None or value in names:
        return value
    try:
        number = int(value)
    except ValueError:
        return value
    return names[number] if 0 <= number < len(names) else None


def _chosen(found: Iterable[str], splits: Mapping[str, str] | None, dataset: str) -> dict[str, str]:
    """Our split -> the data set's."""
    found, chosen = list(found), dict(splits or {})
    if not splits:
        for name in found:
            if name.lower() in WORDS:
                chosen.setdefault(WORDS[name.lower()], name)
        if not chosen and len(found) == 1:
            chosen = {"train": found[0]}
    known = ", ".join(found)
    for ours, theirs in chosen.items():
        if ours not in SPLITS:
            raise UsageError(f"data.splits: '{ours}' is none of {', '.join(SPLITS)}")
        if theirs not in found:
            raise DataError(f"the data set '{dataset}' has no split '{theirs}' (data.splits.{ours}); it has: {known}")
    if "train" not in chosen:
        raise DataError(
            f"the data set '{dataset}' has no training split; name it with `splits: {{train: NAME}}`; it has: {known}"
        )
    return {name: chosen[name] for name in SPLITS if name in chosen}


def _table(split: str, rows: Rows, facts: Mapping[str, Any]) -> Sheet:
    height = len(next(iter(rows.values()), ()))
    return sheet_of_rows(split, rows, {**facts, "split": split, "rows": height})


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars of `datasets` on stderr; they are as they were afterwards."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    was_disabled = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not was_disabled:
            enable_progress_bars()
